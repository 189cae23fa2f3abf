//! `example-weather`: made-up weather over Streamable HTTP.
//!
//! `measure` is slow on purpose: it reports progress and can be cancelled, and the resource `weather://station` counts
//! what became of each measurement.
#![expect(
    deprecated,
    reason = "it also serves revisions that had logging and resources/subscribe"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use isthmus_examples::{Change, Changes, Log, Watched};
use rmcp::handler::server::router::prompt::PromptRouter;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    ArgumentInfo, CompleteRequestParams, CompleteResult, CompletionInfo, Implementation,
    ListResourceTemplatesResult, ListResourcesResult, PaginatedRequestParams,
    ProgressNotificationParam, PromptMessage, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, Resource, ResourceContents, ResourceTemplate, Role, ServerCapabilities,
    ServerConfig, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter,
    UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{
    ErrorData, Json, RoleServer, ServerHandler, prompt, prompt_handler, prompt_router, tool,
    tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Serves MCP on the address in the first argument, at every path.
#[tokio::main(flavor = "current_thread")]
#[expect(
    clippy::print_stderr,
    reason = "with port 0 the address is known only now, and somebody waits for it"
)]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1);
    let address: SocketAddr = address.as_deref().unwrap_or("127.0.0.1:8931").parse()?;
    let listener = TcpListener::bind(address).await?;
    eprintln!(
        "example-weather listens on http://{}/mcp",
        listener.local_addr()?
    );

    let station = Arc::new(Station::default());
    let mcp: StreamableHttpService<Weather, LocalSessionManager> = StreamableHttpService::new(
        move || Ok(Weather::at(&station)),
        Arc::default(),
        Default::default(),
    );
    let mut connections = JoinSet::new();
    loop {
        let (connection, _) = listener.accept().await?;
        while connections.try_join_next().is_some() {} // Forgets those that have ended.
        let service = TowerToHyperService::new(mcp.clone());
        connections.spawn(async move {
            let http = auto::Builder::new(TokioExecutor::new());
            // A client that breaks its connection is its own affair.
            let _ = http
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    }
}

/// What all clients share.
#[derive(Debug, Default)]
struct Station {
    measurements: Mutex<Measurements>,
    changes: Changes,
}

#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Measurements {
    running: u32,
    finished: u32,
    cancelled: u32,
}

/// What one client session (or one request, since revision 2026-07-28) sees.
#[derive(Clone)]
struct Weather {
    station: Arc<Station>,
    watched: Watched,
    log: Log,
    tools: ToolRouter<Self>,
    prompts: PromptRouter<Self>,
}

#[derive(Deserialize, JsonSchema)]
struct City {
    /// One of the cities that `completion/complete` knows.
    city: String,
}

#[derive(Deserialize, JsonSchema)]
struct Measure {
    /// How many samples to take; each takes a tenth of a second.
    #[schemars(range(min = 1, max = 600))]
    samples: u32,
}

#[derive(Serialize, JsonSchema)]
struct Report {
    city: String,
    sky: String,
    /// In degrees Celsius.
    temperature: f64,
}

#[derive(Serialize, JsonSchema)]
struct Measured {
    samples: u32,
    /// The mean of all samples, in degrees Celsius.
    temperature: f64,
}

#[tool_router]
impl Weather {
    /// Tells the weather in one city.
    #[tool(annotations(title = "Current weather", read_only_hint = true))]
    async fn current_weather(
        &self,
        Parameters(City { city }): Parameters<City>,
    ) -> Result<Json<Report>, String> {
        report(&city)
            .map(Json)
            .ok_or_else(|| format!("there is no weather in `{city}`"))
    }

    /// Measures the temperature at the station, slowly and with progress.
    #[tool(annotations(title = "Measure", read_only_hint = true))]
    async fn measure(
        &self,
        Parameters(Measure { samples }): Parameters<Measure>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<Measured>, String> {
        self.log
            .info(&context, json!({ "measuring": samples }))
            .await;
        let measurement = Measurement::start(Arc::clone(&self.station));
        for sample in 1..=samples {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
                () = context.ct.cancelled() => return Err("cancelled".to_owned()),
            }
            if let Some(token) = context.meta.get_progress_token() {
                let progress = ProgressNotificationParam::new(token, f64::from(sample))
                    .with_total(f64::from(samples))
                    .with_message(format!("sample {sample} of {samples}"));
                // A client that has gone needs no progress.
                let _ = context.peer.notify_progress(progress).await;
            }
        }
        measurement.finish();
        Ok(Json(Measured {
            samples,
            temperature: 21.5,
        }))
    }
}

#[prompt_router]
impl Weather {
    /// Asks what to pack for a journey.
    #[prompt(name = "packing_list")]
    async fn packing_list(
        &self,
        Parameters(City { city }): Parameters<City>,
    ) -> Result<Vec<PromptMessage>, ErrorData> {
        let report = report(&city).ok_or_else(|| {
            ErrorData::invalid_params(format!("there is no weather in `{city}`"), None)
        })?;
        let question = format!(
            "In {city} it is {} at {} °C. What should I pack?",
            report.sky, report.temperature
        );
        Ok(vec![PromptMessage::new_text(Role::User, question)])
    }
}

#[tool_handler(router = self.tools)]
#[prompt_handler(router = self.prompts)]
impl ServerHandler for Weather {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_prompts()
            .enable_completions()
            .enable_logging()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(
                "example-weather",
                env!("CARGO_PKG_VERSION"),
            ))
            .with_instructions("Made-up weather. measure is slow and can be cancelled.")
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let station = Resource::new(STATION, "station")
            .with_description("How many measurements are running, finished and cancelled.")
            .with_mime_type("application/json");
        Ok(ListResourcesResult::with_all_items(vec![station]))
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let today = ResourceTemplate::new("weather://{city}/today", "today")
            .with_description("The weather of today in one city.")
            .with_mime_type("application/json");
        Ok(ListResourceTemplatesResult::with_all_items(vec![today]))
    }

    async fn read_resource(
        &self,
        read: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let json = if read.uri == STATION {
            serde_json::to_string(&self.station.measurements())
        } else {
            let city = read
                .uri
                .strip_prefix("weather://")
                .and_then(|rest| rest.strip_suffix("/today"));
            let missing = || {
                ErrorData::resource_not_found("no such weather", Some(json!({ "uri": read.uri })))
            };
            serde_json::to_string(&city.and_then(report).ok_or_else(missing)?)
        };
        let json = json.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        let contents = ResourceContents::text(json, read.uri).with_mime_type("application/json");
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        // The one thing to complete is a city, in the prompt as in the resource template.
        let ArgumentInfo { value, .. } = request.argument;
        let cities = CITIES
            .iter()
            .map(|(city, ..)| (*city).to_owned())
            .filter(|city| city.starts_with(&value));
        let values = CompletionInfo::new(cities.collect())
            .map_err(|error| ErrorData::internal_error(error, None))?;
        Ok(CompleteResult::new(values))
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.log.set_level(request.level);
        Ok(())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.watched.add(request.uri);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.watched.remove(&request.uri);
        Ok(())
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.station
            .changes
            .tell_session(context.peer, self.watched.clone());
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        self.station.changes.expect_listener();
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, listener: SubscriptionContext) -> Result<(), ErrorData> {
        self.station.changes.tell_listener(listener).await;
        Ok(())
    }
}

impl Weather {
    fn at(station: &Arc<Station>) -> Self {
        Self {
            station: Arc::clone(station),
            watched: Watched::default(),
            log: Log::new("weather"),
            tools: Self::tool_router(),
            prompts: Self::prompt_router(),
        }
    }
}

impl Station {
    fn measurements(&self) -> Measurements {
        *self
            .measurements
            .lock()
            .expect("nobody panics while holding this lock")
    }

    fn count(&self, change: impl FnOnce(&mut Measurements)) {
        change(
            &mut self
                .measurements
                .lock()
                .expect("nobody panics while holding this lock"),
        );
        self.changes.announce(Change::Resource(STATION.to_owned()));
    }
}

/// Counts itself: as finished when it says so, as cancelled when it is dropped before.
struct Measurement {
    station: Arc<Station>,
    finished: bool,
}

impl Measurement {
    fn start(station: Arc<Station>) -> Self {
        station.count(|all| all.running += 1);
        Self {
            station,
            finished: false,
        }
    }

    fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        let finished = self.finished;
        self.station.count(|all| {
            all.running -= 1;
            if finished {
                all.finished += 1;
            } else {
                all.cancelled += 1;
            }
        });
    }
}

fn report(city: &str) -> Option<Report> {
    let (city, sky, temperature) = CITIES.iter().find(|(name, ..)| *name == city)?;
    Some(Report {
        city: (*city).to_owned(),
        sky: (*sky).to_owned(),
        temperature: *temperature,
    })
}

const STATION: &str = "weather://station";

const CITIES: [(&str, &str, f64); 5] = [
    ("Kyoto", "cloudy", 17.0),
    ("Lima", "foggy", 18.5),
    ("Lisbon", "sunny", 24.0),
    ("Nairobi", "raining", 22.5),
    ("Oslo", "snowing", -3.0),
];
