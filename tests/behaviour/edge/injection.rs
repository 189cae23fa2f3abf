//! Header injection: what a caller chooses (names, URIs, arguments) becomes one value of one header, or no request.

use isthmus_protocol::headers::decode_value;
use serde_json::json;

use crate::support::offering::{offering, templates};
use crate::support::{Backend, Gateway, Stateful};

const BREAKING: [&str; 6] = [
    "x\r\nInjected: yes",
    "x\nInjected: yes",
    "x\rInjected: yes",
    "x\u{0}Injected: yes",
    "x\u{2028}Injected: \u{e9}",
    "=?base64?eA0KSW5qZWN0ZWQ6IHllcw==?=",
];

#[tokio::test]
async fn neither_a_uri_nor_a_name_nor_an_argument_makes_a_header() {
    let mirrored = json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
    let lists = json!({
        "tools": [{"name": "t", "inputSchema": mirrored}],
        "resourceTemplates": templates(&["x:/{+any}"]),
    });
    let backend = Backend::start("2026-07-28", offering("b", lists)).await;
    let gateway = Gateway::start(&format!("backends:\n{}", backend.entry("b")));
    let client = Stateful::open(&gateway.url(), "2025-11-25").await;
    for breaking in BREAKING {
        let uri = format!("x:/{breaking}");
        for (method, params) in [
            ("resources/read", json!({"uri": uri})),
            (
                "tools/call",
                json!({"name": "b__t", "arguments": {"region": breaking}}),
            ),
            (
                "tools/call",
                json!({"name": format!("b__{breaking}"), "arguments": {}}),
            ),
            ("prompts/get", json!({"name": format!("b__{breaking}")})),
        ] {
            let answer = client.ask(method, params.clone()).await;
            assert!(
                answer["result"].is_object() || answer["error"].is_object(),
                "{method} {params}: {answer}"
            );
        }
    }
    let read = backend
        .seen()
        .into_iter()
        .filter(|seen| seen.message["method"] == "resources/read");
    assert_eq!(read.count(), BREAKING.len());
    let called = backend.count("tools/call");
    assert_eq!(
        called,
        BREAKING.len(),
        "a name that nobody has reaches nobody"
    );
    for seen in backend.seen() {
        assert!(seen.headers.get("injected").is_none(), "{seen:?}");
        let params = &seen.message["params"];
        let said = params["uri"].as_str().or(params["name"].as_str());
        let chosen = [
            ("mcp-name", said),
            ("mcp-param-region", params["arguments"]["region"].as_str()),
        ];
        for (header, said) in chosen {
            if let (Some(value), Some(said)) = (seen.headers.get(header), said) {
                assert_eq!(decode_value(value).unwrap(), said, "{header}");
            }
        }
    }
}
