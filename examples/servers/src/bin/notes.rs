//! `example-notes`: a notebook over stdio.
//!
//! Each note is a resource. Adding one changes the list of resources, and the first one brings a second tool, so that a
//! client can watch both lists change. Nothing is written to disk.
#![expect(
    deprecated,
    reason = "it also serves revisions that had logging and resources/subscribe"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use isthmus_examples::{Change, Changes, Log, Watched};
use rmcp::handler::server::router::prompt::PromptRouter;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::ToolCallContext;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    ArgumentInfo, CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult,
    CompletionInfo, Implementation, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, PromptMessage, ReadResourceRequestParams,
    ReadResourceResponse, ReadResourceResult, Resource, ResourceContents, ResourceTemplate, Role,
    ServerCapabilities, ServerConfig, SetLevelRequestParams, SubscribeRequestParams,
    SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{
    ErrorData, Json, RoleServer, ServerHandler, ServiceExt, prompt, prompt_handler, prompt_router,
    tool, tool_router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let service = Notebook::default().serve(rmcp::transport::stdio()).await?;
    service.waiting().await?;
    Ok(())
}

#[derive(Clone)]
struct Notebook {
    notes: Arc<Mutex<BTreeMap<String, String>>>,
    changes: Changes,
    watched: Watched,
    log: Log,
    tools: ToolRouter<Self>,
    prompts: PromptRouter<Self>,
}

#[derive(Deserialize, JsonSchema)]
struct Note {
    /// A short title: letters, digits and dashes.
    title: String,
    /// What to remember.
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Title {
    /// The title of a note.
    title: String,
}

#[derive(Serialize, JsonSchema)]
struct Stored {
    /// Where the note can be read.
    uri: String,
    /// How many notes there are now.
    notes: usize,
}

#[tool_router]
impl Notebook {
    /// Writes a note, or rewrites the one with this title.
    #[tool(annotations(
        title = "Write a note",
        destructive_hint = false,
        idempotent_hint = true
    ))]
    async fn add_note(
        &self,
        Parameters(Note { title, text }): Parameters<Note>,
        context: RequestContext<RoleServer>,
    ) -> Result<Json<Stored>, String> {
        if title.is_empty() || !title.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(format!(
                "`{title}` is not a title: use letters, digits and dashes"
            ));
        }
        let uri = uri_of(&title);
        let (replaced, notes) = {
            let mut all = self.notes();
            (all.insert(title.clone(), text).is_some(), all.len())
        };
        if replaced {
            self.changes.announce(Change::Resource(uri.clone()));
        } else {
            self.changes.announce(Change::Resources);
        }
        if !replaced && notes == 2 {
            self.changes.announce(Change::Tools); // `remove_note` is listed from now on.
        }
        self.log.info(&context, json!({ "stored": title })).await;
        Ok(Json(Stored { uri, notes }))
    }

    /// Takes a note away.
    #[tool(annotations(title = "Remove a note", destructive_hint = true))]
    async fn remove_note(
        &self,
        Parameters(Title { title }): Parameters<Title>,
    ) -> Result<String, String> {
        if title == WELCOME {
            return Err("the welcome note stays".to_owned());
        }
        let left = {
            let mut all = self.notes();
            all.remove(&title)
                .ok_or_else(|| format!("there is no note `{title}`"))?;
            all.len()
        };
        self.changes.announce(Change::Resources);
        if left == 1 {
            self.changes.announce(Change::Tools);
        }
        Ok(format!("Removed `{title}`."))
    }
}

#[prompt_router]
impl Notebook {
    /// Asks for a summary of one note.
    #[prompt(name = "summarize_note")]
    async fn summarize_note(
        &self,
        Parameters(Title { title }): Parameters<Title>,
    ) -> Result<Vec<PromptMessage>, ErrorData> {
        let text = self.text(&title).ok_or_else(|| {
            ErrorData::invalid_params(format!("there is no note `{title}`"), None)
        })?;
        Ok(vec![
            PromptMessage::new_text(Role::User, "Summarize this note in one sentence."),
            PromptMessage::new_text(Role::User, text),
        ])
    }
}

#[prompt_handler(router = self.prompts)]
impl ServerHandler for Notebook {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_prompts()
            .enable_completions()
            .enable_logging()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(
                "example-notes",
                env!("CARGO_PKG_VERSION"),
            ))
            .with_instructions("A notebook. Notes are resources; add_note writes one.")
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut tools = self.tools.list_all();
        if self.notes().len() == 1 {
            tools.retain(|tool| tool.name != "remove_note"); // Nothing there that could be removed.
        }
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.tools
            .call(ToolCallContext::new(self, call, context))
            .await
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let notes = self.notes();
        let listed = notes.iter().map(|(title, text)| {
            Resource::new(uri_of(title), title)
                .with_mime_type("text/plain")
                .with_size(text.len() as u64)
        });
        Ok(ListResourcesResult::with_all_items(listed.collect()))
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let note = ResourceTemplate::new("note://{title}", "note")
            .with_description("One note, by its title.");
        Ok(ListResourceTemplatesResult::with_all_items(vec![note]))
    }

    async fn read_resource(
        &self,
        read: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let text = read
            .uri
            .strip_prefix("note://")
            .and_then(|title| self.text(title));
        let text = text.ok_or_else(|| {
            ErrorData::resource_not_found("no such note", Some(json!({ "uri": read.uri })))
        })?;
        Ok(ReadResourceResult::new(vec![ResourceContents::text(text, read.uri)]).into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        // The one thing to complete is a title, in the prompt as in the resource template.
        let ArgumentInfo { value, .. } = request.argument;
        let titles = self
            .notes()
            .keys()
            .filter(|title| title.starts_with(&value))
            .take(100)
            .cloned()
            .collect();
        let values =
            CompletionInfo::new(titles).map_err(|error| ErrorData::internal_error(error, None))?;
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
        self.changes
            .tell_session(context.peer, self.watched.clone());
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        self.changes.expect_listener();
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, listener: SubscriptionContext) -> Result<(), ErrorData> {
        self.changes.tell_listener(listener).await;
        Ok(())
    }
}

impl Notebook {
    fn notes(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.notes
            .lock()
            .expect("nobody panics while holding this lock")
    }

    fn text(&self, title: &str) -> Option<String> {
        self.notes().get(title).cloned()
    }
}

impl Default for Notebook {
    fn default() -> Self {
        let welcome = (
            WELCOME.to_owned(),
            "Ask me to remember something.".to_owned(),
        );
        Self {
            notes: Arc::new(Mutex::new(BTreeMap::from([welcome]))),
            changes: Changes::default(),
            watched: Watched::default(),
            log: Log::new("notes"),
            tools: Self::tool_router(),
            prompts: Self::prompt_router(),
        }
    }
}

fn uri_of(title: &str) -> String {
    format!("note://{title}")
}

/// The note that is there from the start.
const WELCOME: &str = "welcome";
