//! The methods and notifications of all revisions by name.

use std::fmt;

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A JSON-RPC method or notification name.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[$doc])* $variant,)*
            /// A name that no published revision defines.
            Other(Box<str>),
        }

        impl Method {
            /// Reads a name from the wire; any name is accepted.
            #[must_use]
            pub fn parse(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    other => Self::Other(other.into()),
                }
            }

            /// The name on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }
        }
    };
}

methods! {
    /// Opens a stateful session.
    Initialize = "initialize",
    /// Are you there (stateful, both directions).
    Ping = "ping",
    /// What a stateless server offers.
    ServerDiscover = "server/discover",
    /// Lists tools.
    ToolsList = "tools/list",
    /// Calls a tool.
    ToolsCall = "tools/call",
    /// Lists prompts.
    PromptsList = "prompts/list",
    /// Renders a prompt.
    PromptsGet = "prompts/get",
    /// Lists resources.
    ResourcesList = "resources/list",
    /// Lists resource templates.
    ResourcesTemplatesList = "resources/templates/list",
    /// Reads a resource.
    ResourcesRead = "resources/read",
    /// Watches a resource (stateful).
    ResourcesSubscribe = "resources/subscribe",
    /// Stops watching a resource (stateful).
    ResourcesUnsubscribe = "resources/unsubscribe",
    /// Completes an argument of a prompt or template.
    CompletionComplete = "completion/complete",
    /// Sets the least severe log level that is sent (stateful).
    LoggingSetLevel = "logging/setLevel",
    /// Opens a stream of changes (stateless; inside isthmus also for stateful sessions).
    SubscriptionsListen = "subscriptions/listen",
    /// Asks the client for its roots.
    RootsList = "roots/list",
    /// Asks the client to run its model.
    SamplingCreateMessage = "sampling/createMessage",
    /// Asks the client's user.
    ElicitationCreate = "elicitation/create",
    /// Looks at a task.
    TasksGet = "tasks/get",
    /// Waits for a task's result (2025-11-25).
    TasksResult = "tasks/result",
    /// Lists tasks (2025-11-25).
    TasksList = "tasks/list",
    /// Cancels a task.
    TasksCancel = "tasks/cancel",
    /// Answers a task's questions (extension).
    TasksUpdate = "tasks/update",
    /// The client is ready (stateful).
    Initialized = "notifications/initialized",
    /// A request is no longer wanted.
    Cancelled = "notifications/cancelled",
    /// How far a request has come.
    Progress = "notifications/progress",
    /// A log message.
    LogMessage = "notifications/message",
    /// The list of tools changed.
    ToolsListChanged = "notifications/tools/list_changed",
    /// The list of prompts changed.
    PromptsListChanged = "notifications/prompts/list_changed",
    /// The list of resources or templates changed.
    ResourcesListChanged = "notifications/resources/list_changed",
    /// A resource changed.
    ResourcesUpdated = "notifications/resources/updated",
    /// The client's roots changed (stateful).
    RootsListChanged = "notifications/roots/list_changed",
    /// A URL elicitation is done (2025-11-25).
    ElicitationComplete = "notifications/elicitation/complete",
    /// A task changed (2025-11-25).
    TasksStatus = "notifications/tasks/status",
    /// A task changed (extension).
    TasksNotification = "notifications/tasks",
    /// First message of a listen stream: what is honoured.
    SubscriptionsAcknowledged = "notifications/subscriptions/acknowledged",
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
