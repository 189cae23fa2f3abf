//! The command line as a caller: it shows a key, and does not tell it to anybody else.

use serde_json::json;

use super::visitor::new_key;
use crate::support::cli::{isthmus, isthmus_with};
use crate::support::offering::{offering, tools};
use crate::support::{Backend, Gateway};

#[tokio::test]
async fn a_running_gateway_is_looked_at_with_a_key() {
    let backend =
        Backend::start("2025-11-25", offering("b", json!({"tools": tools(&["a"])}))).await;
    let key = new_key("laptop", &["--expires", "1d"]);
    let gateway = Gateway::start(&format!(
        "authentication: [api_keys: {{}}]\n{}backends:\n{}",
        key.snippet,
        backend.entry("b")
    ));
    let folder = tempfile::tempdir().unwrap();
    let url = gateway.url();
    let shown = [("ISTHMUS_TOKEN", key.key.as_str())];
    let listed = isthmus_with(&folder, &["tools", "--url", &url], &shown).await;
    assert_eq!((listed.code, listed.err.as_str()), (0, ""));
    assert!(listed.out.contains("b__a"), "{listed:?}");
    let arguments = ["call", "--url", &url, "--token", &key.key, "b__a"];
    let called = isthmus(&folder, &arguments).await;
    assert_eq!((called.code, called.out.as_str()), (0, "b: a\n"));
    let nobody = isthmus(&folder, &["tools", "--url", &url]).await;
    assert_eq!(nobody.code, 4);
    assert!(nobody.err.contains("401"), "{nobody:?}");
    let wrong = isthmus_with(
        &folder,
        &["tools", "--url", &url],
        &[("ISTHMUS_TOKEN", "se\ncret")],
    )
    .await;
    assert_eq!(wrong.code, 2);
    assert!(!wrong.err.contains("cret"), "{wrong:?}");
    assert!(!gateway.log().contains(&key.key));
}

#[tokio::test]
async fn what_cannot_be_in_a_config_cannot_be_in_a_key() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["key", "new", ""][..],
        &["key", "new", "x", "--scopes", "a b"],
        &["key", "new", "x", "--expires", "2001-01-01"],
        &["key", "new", "x", "--expires", "soon"],
        &["key"],
    ] {
        let ran = isthmus(&folder, arguments).await;
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}");
        assert!(!ran.err.is_empty());
    }
}
