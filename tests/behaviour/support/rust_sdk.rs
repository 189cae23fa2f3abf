//! Clients of the official Rust SDK, over HTTP and over the pipe of `isthmus stdio`.

#![expect(
    deprecated,
    reason = "sampling and roots have to work as long as servers ask for them"
)]

use std::process::Stdio;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig,
    CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitResult,
    Implementation, ListRootsResult, ProgressNotificationParam, ProtocolVersion,
    ReadResourceRequestParams, ResourceContents, ResourceUpdatedNotificationParam,
};
use rmcp::serde::Serialize;
use rmcp::serde::de::DeserializeOwned;
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, NotificationContext, RequestContext, RunningService,
    ServiceError,
};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, UnixSocketHttpClient};
use rmcp::{ClientHandler, ErrorData, RoleClient};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixListener};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::examples::{Weather, fleet};
use super::gateway::{Gateway, command, config_in};
use super::inquiry::answer_to;
use super::live::everything;

/// How long something expected may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client heard unasked.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Progress(ProgressNotificationParam),
    Tools,
    Resources,
    Updated(String),
    /// It was asked this: method and parameters.
    Asked(Value),
}

/// Notes what the SDK hears.
#[derive(Debug, Clone)]
pub struct Ears {
    revision: ProtocolVersion,
    heard: mpsc::Sender<Heard>,
}

impl ClientHandler for Ears {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(
            serde_json::from_value::<ClientCapabilities>(everything("2025-11-25")).unwrap(),
            Implementation::new("test", "1"),
        )
        .with_protocol_version(self.revision.clone())
    }

    async fn create_elicitation(
        &self,
        params: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(self.answer("elicitation/create", &params).await)
    }

    async fn create_message(
        &self,
        params: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        Ok(self.answer("sampling/createMessage", &params).await)
    }

    async fn list_roots(
        &self,
        _: RequestContext<RoleClient>,
    ) -> Result<ListRootsResult, ErrorData> {
        Ok(self.answer("roots/list", &()).await)
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.heard.send(Heard::Progress(params)).await.unwrap();
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.heard.send(Heard::Tools).await.unwrap();
    }

    async fn on_resource_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.heard.send(Heard::Resources).await.unwrap();
    }

    async fn on_resource_updated(
        &self,
        params: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.heard.send(Heard::Updated(params.uri)).await.unwrap();
    }
}

impl Ears {
    /// Answers a question as all our clients do.
    async fn answer<T: DeserializeOwned>(&self, method: &str, params: &impl Serialize) -> T {
        let question = json!({"method": method, "params": params});
        let answer = answer_to(&question);
        self.heard.send(Heard::Asked(question)).await.unwrap();
        serde_json::from_value(answer).unwrap()
    }
}

/// A client, and the gateway and servers it talks to.
pub struct SdkClient {
    pub sdk: RunningService<RoleClient, Ears>,
    /// What it is, for messages.
    pub shown: String,
    pub stateless: bool,
    heard: mpsc::Receiver<Heard>,
    early: Vec<Heard>,
    _gateway: Behind,
    _weather: Option<Weather>,
}

enum Behind {
    Http {
        _gateway: Gateway,
        _bridge: tokio::task::JoinHandle<()>,
        _folder: TempDir,
    },
    Stdio {
        _child: Child,
        _folder: TempDir,
    },
}

/// Runs `check` with a client of each kind, each with a gateway and servers of its own.
pub async fn for_every_client(check: impl AsyncFn(&mut SdkClient)) {
    for revision in [
        ProtocolVersion::V_2025_06_18,
        ProtocolVersion::V_2025_11_25,
        ProtocolVersion::V_2026_07_28,
    ] {
        for over_http in [true, false] {
            let mut client = SdkClient::connect(revision.clone(), over_http).await;
            check(&mut client).await;
            client.sdk.cancel().await.unwrap();
        }
    }
}

/// Runs `check` with a client of each kind in front of `fleet`.
pub async fn for_every_client_of(fleet: &str, check: impl AsyncFn(&mut SdkClient)) {
    for revision in [
        ProtocolVersion::V_2025_06_18,
        ProtocolVersion::V_2025_11_25,
        ProtocolVersion::V_2026_07_28,
    ] {
        for over_http in [true, false] {
            let mut client = SdkClient::connect_to(fleet, None, revision.clone(), over_http).await;
            check(&mut client).await;
            client.sdk.cancel().await.unwrap();
        }
    }
}

impl SdkClient {
    async fn connect(revision: ProtocolVersion, over_http: bool) -> Self {
        let weather = Weather::start();
        let fleet = fleet(&weather);
        Self::connect_to(&fleet, Some(weather), revision, over_http).await
    }

    async fn connect_to(
        fleet: &str,
        weather: Option<Weather>,
        revision: ProtocolVersion,
        over_http: bool,
    ) -> Self {
        let (sender, heard) = mpsc::channel(256);
        let ears = Ears {
            revision: revision.clone(),
            heard: sender,
        };
        let stateless = revision == ProtocolVersion::V_2026_07_28;
        let lifecycle = if stateless {
            ClientLifecycleMode::Discover {
                preferred_versions: vec![revision.clone()],
            }
        } else {
            ClientLifecycleMode::Initialize
        };
        let shown = format!(
            "{revision} over {}",
            if over_http { "HTTP" } else { "stdio" }
        );
        let (sdk, gateway) = if over_http {
            let gateway = Gateway::start(fleet);
            let folder = tempfile::tempdir().unwrap();
            let socket = folder.path().join("socket");
            let bridge = bridge(UnixListener::bind(&socket).unwrap(), &gateway.at(""));
            let http = UnixSocketHttpClient::new(socket.to_str().unwrap(), &gateway.url());
            let config = StreamableHttpClientTransportConfig::with_uri(gateway.url());
            let transport = StreamableHttpClientTransport::with_client(http, config);
            let sdk = ears.serve_with_lifecycle(transport, lifecycle).await;
            (
                sdk,
                Behind::Http {
                    _gateway: gateway,
                    _bridge: bridge,
                    _folder: folder,
                },
            )
        } else {
            let folder = tempfile::tempdir().unwrap();
            let config = config_in(&folder, fleet);
            let mut command = command(&folder);
            command
                .arg("stdio")
                .arg(config)
                .stdin(Stdio::piped())
                .stderr(Stdio::null());
            let mut child = Command::from(command).kill_on_drop(true).spawn().unwrap();
            let transport = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
            let sdk = ears.serve_with_lifecycle(transport, lifecycle).await;
            (
                sdk,
                Behind::Stdio {
                    _child: child,
                    _folder: folder,
                },
            )
        };
        let sdk = sdk.unwrap_or_else(|error| panic!("{shown}: {error}"));
        Self {
            sdk,
            shown,
            stateless,
            heard,
            early: Vec::new(),
            _gateway: gateway,
            _weather: weather,
        }
    }

    /// Calls a tool.
    pub async fn call(
        &self,
        name: &'static str,
        arguments: Value,
    ) -> Result<CallToolResult, ServiceError> {
        let arguments = arguments.as_object().unwrap().clone();
        self.sdk
            .call_tool(CallToolRequestParams::new(name).with_arguments(arguments))
            .await
    }

    /// Reads the text of a resource.
    pub async fn read(&self, uri: &str) -> String {
        let read = self
            .sdk
            .read_resource(ReadResourceRequestParams::new(uri))
            .await
            .unwrap();
        match &read.contents[0] {
            ResourceContents::TextResourceContents { text, .. } => text.clone(),
            other => panic!("{}: {other:?}", self.shown),
        }
    }

    /// Waits until something that fits is heard; what else comes is kept.
    pub async fn hears(&mut self, fits: impl Fn(&Heard) -> bool) -> Heard {
        if let Some(at) = self.early.iter().position(&fits) {
            return self.early.remove(at);
        }
        loop {
            let heard = tokio::time::timeout(PATIENCE, self.heard.recv()).await;
            let heard = heard
                .unwrap_or_else(|_| panic!("{}: heard {:?}", self.shown, self.early))
                .unwrap();
            if fits(&heard) {
                return heard;
            }
            self.early.push(heard);
        }
    }

    /// Everything heard so far.
    pub fn all_heard(&mut self) -> Vec<Heard> {
        while let Ok(heard) = self.heard.try_recv() {
            self.early.push(heard);
        }
        std::mem::take(&mut self.early)
    }
}

/// Leads connections of a Unix socket to `url`: the SDK's HTTP client that needs no further crates speaks to nothing else.
fn bridge(listener: UnixListener, url: &str) -> tokio::task::JoinHandle<()> {
    let address = url.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let address = address.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    })
}
