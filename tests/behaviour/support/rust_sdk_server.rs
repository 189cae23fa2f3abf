//! A server of the official Rust SDK that asks its client: by a request in the middle of a call, or by a result, as the
//! client's revision has it.

use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientResult, ContentBlock,
    ElicitRequest, InputRequest, InputRequiredResult, ListToolsResult, PaginatedRequestParams,
    ProtocolVersion, ServerConfig, ServerRequest,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::inquiry::form;
use super::offering::tools;

/// A running server with one tool, `ask`. Ends with the test's runtime.
#[derive(Debug)]
pub struct Asker {
    pub url: String,
}

impl Asker {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let mcp: StreamableHttpService<Handler, LocalSessionManager> =
            StreamableHttpService::new(|| Ok(Handler), Arc::default(), Default::default());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(mcp.clone());
                tokio::spawn(async move {
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url }
    }
}

struct Handler;

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let mut config = ServerConfig::default();
        config.capabilities = serde_json::from_value(json!({"tools": {}})).unwrap();
        config
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = json!({"tools": tools(&["ask"]), "ttlMs": 0, "cacheScope": "private"});
        Ok(serde_json::from_value(tools).unwrap())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let asked = form("name");
        let asked = json!({"method": asked.method, "params": asked.params});
        let asked: ElicitRequest = serde_json::from_value(asked).unwrap();
        let stateless = context.protocol_version() == Some(ProtocolVersion::V_2026_07_28);
        let answer = if stateless {
            match request.input_responses {
                Some(mut answers) => answers.remove("name").unwrap(),
                None => {
                    let requests = [("name".to_owned(), InputRequest::Elicitation(asked))];
                    return Ok(InputRequiredResult::from_input_requests(requests.into()).into());
                }
            }
        } else {
            let asked = ServerRequest::ElicitRequest(asked);
            match context.peer.send_request(asked).await {
                Ok(ClientResult::ElicitResult(answer)) => serde_json::to_value(answer).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        let Value::String(said) = &answer["content"]["name"] else {
            panic!("{answer}");
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(said.clone())]).into())
    }
}
