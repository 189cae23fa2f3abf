//! The headers of a stateless request, computed from the body that goes with them (MC-2).

use http::header::{HeaderMap, HeaderValue};
use isthmus_protocol::headers::{self, HeaderParameters, encode_value};
use isthmus_protocol::{Method, RawJson, object};

/// Adds `Mcp-Method`, `Mcp-Name` and `Mcp-Param-*` for a request with `params` to `headers`.
pub(super) fn add(
    headers: &mut HeaderMap,
    method: &Method,
    params: &RawJson,
    tool: Option<&RawJson>,
) {
    headers.insert(headers::MCP_METHOD, method_value(method));
    if let Some(subject) =
        subject_member(method).and_then(|member| object::string_member(params, member))
    {
        headers.insert(headers::MCP_NAME, encode_value(&subject));
    }
    if let Some(definition) = tool.filter(|definition| may_mirror(definition)) {
        match HeaderParameters::from_tool(definition) {
            Ok(parameters) if !parameters.is_empty() => {
                let arguments = object::member(params, "arguments");
                headers.extend(parameters.write(arguments.as_ref()));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a tool with an invalid header annotation is called without headers")
            }
        }
    }
}

fn method_value(method: &Method) -> HeaderValue {
    // Every name we send is ours; one that came from a client may hold anything.
    HeaderValue::from_str(method.as_str()).unwrap_or_else(|_| encode_value(method.as_str()))
}

/// The parameter that `Mcp-Name` repeats (digest §1.3).
const fn subject_member(method: &Method) -> Option<&'static str> {
    match method {
        Method::ToolsCall | Method::PromptsGet => Some("name"),
        Method::ResourcesRead => Some("uri"),
        Method::TasksGet | Method::TasksUpdate | Method::TasksCancel => Some("taskId"),
        _ => None,
    }
}

/// Whether a definition may have annotations: most have none, and their schemas need not be read at every call.
fn may_mirror(definition: &RawJson) -> bool {
    let text = definition.as_str();
    text.contains("x-mcp-header") || text.contains("\\u")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers_of(method: &Method, params: &str, tool: Option<&str>) -> Vec<(String, String)> {
        let params = RawJson::parse(params.to_owned()).unwrap();
        let tool = tool.map(|tool| RawJson::parse(tool.to_owned()).unwrap());
        let mut headers = HeaderMap::new();
        add(&mut headers, method, &params, tool.as_ref());
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let mut all: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect();
        all.sort();
        all
    }

    fn check(method: &Method, params: &str, tool: Option<&str>, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(headers_of(method, params, tool), expected);
    }

    #[test]
    fn the_name_is_that_of_the_body() {
        check(
            &Method::ToolsList,
            "{}",
            None,
            &[("mcp-method", "tools/list")],
        );
        check(
            &Method::ToolsCall,
            r#"{"name":"caf\u00e9"}"#,
            None,
            &[
                ("mcp-method", "tools/call"),
                ("mcp-name", "=?base64?Y2Fmw6k=?="),
            ],
        );
        check(
            &Method::ResourcesRead,
            r#"{"uri":"file:///a"}"#,
            None,
            &[("mcp-method", "resources/read"), ("mcp-name", "file:///a")],
        );
    }

    #[test]
    fn annotated_parameters_are_mirrored_from_the_arguments() {
        let tool = r#"{"name":"q","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"n":{"type":"integer"}}}}"#;
        check(
            &Method::ToolsCall,
            r#"{"name":"q","arguments":{"region":"eu","n":1}}"#,
            Some(tool),
            &[
                ("mcp-method", "tools/call"),
                ("mcp-name", "q"),
                ("mcp-param-region", "eu"),
            ],
        );
    }

    #[test]
    fn an_annotation_spelled_with_escapes_is_found_too() {
        let tool = r#"{"name":"q","inputSchema":{"type":"object","properties":{"r":{"type":"string","x\u002dmcp-header":"R"}}}}"#;
        check(
            &Method::ToolsCall,
            r#"{"name":"q","arguments":{"r":"1"}}"#,
            Some(tool),
            &[
                ("mcp-method", "tools/call"),
                ("mcp-name", "q"),
                ("mcp-param-r", "1"),
            ],
        );
    }
}
