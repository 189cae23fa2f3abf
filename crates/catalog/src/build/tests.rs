use isthmus_config::{Glob, HttpWire, Override};
use isthmus_exchange::{
    AllAllowed, Attempt, Authorization, Caller, ClientCapabilities, Decision, Verdict,
};
use isthmus_protocol::Revision;
use proptest::prelude::*;

use super::*;
use crate::fixture::{self, backend, build, caller, json, route, shown, tools};
use crate::{Unresolved, View};

const TOOL: ItemKind = ItemKind::Tool;
const RESOURCE: ItemKind = ItemKind::Resource;
const TEMPLATE: ItemKind = ItemKind::ResourceTemplate;

fn find(catalog: &Catalog, name: &str) -> Result<String, Unresolved> {
    let caller = caller();
    let target = catalog.find(TOOL, name, everything(&caller))?;
    Ok(format!("{} {}", target.backend, target.native))
}

fn locate(catalog: &Catalog, uri: &str) -> Option<String> {
    let caller = caller();
    let target = catalog.locate(uri, everything(&caller))?;
    Some(format!("{} {}", target.backend, target.native))
}

fn everything(caller: &Caller) -> View<'_> {
    View {
        caller,
        authorization: &AllAllowed,
    }
}

#[test]
fn names_are_found_exposed_or_bare_and_never_captured() {
    let one = tools("files", &["read", "write"]);
    let other = tools("mail", &["read", "send"]);
    let catalog = build(&route(), &[one.clone(), other]);
    assert_eq!(find(&catalog, "files__read").unwrap(), "files read");
    assert_eq!(find(&catalog, "mail__read").unwrap(), "mail read");
    assert_eq!(find(&catalog, "write").unwrap(), "files write");
    assert_eq!(find(&catalog, "read"), Err(Unresolved::Ambiguous));
    assert_eq!(find(&catalog, "nothing"), Err(Unresolved::Unknown));
    let alone = build(&route(), &[one]);
    assert_eq!(find(&alone, "read").unwrap(), "files read");
}

#[test]
fn of_two_items_with_one_name_the_later_is_hidden_loudly() {
    let mut one = tools("a", &["b__x"]);
    one.settings.prefix = String::new();
    let other = tools("b", &["x", "y"]);
    let catalog = build(&route(), &[one, other]);
    assert_eq!(shown(&catalog, TOOL), ["b__x", "b__y"]);
    assert_eq!(find(&catalog, "b__x").unwrap(), "a b__x");
    let remarks: Vec<_> = catalog.remarks().iter().map(ToString::to_string).collect();
    assert_eq!(
        remarks,
        ["tool `x` of `b` is hidden: `b__x` is already the name of an item of `a`"]
    );
}

#[test]
fn a_name_the_operator_gave_is_not_taken_away_by_a_backend() {
    let mut route = route();
    route.tools.rename = vec![("b__x".to_owned(), "find".to_owned())];
    let mut greedy = tools("a", &["find"]);
    greedy.settings.prefix = String::new();
    let catalog = build(&route, &[greedy, tools("b", &["x"])]);
    assert_eq!(find(&catalog, "find").unwrap(), "b x");
    assert_eq!(find(&catalog, "b__x"), Err(Unresolved::Unknown));
    assert_eq!(shown(&catalog, TOOL), ["find"]);
}

#[test]
fn what_is_left_out_can_neither_be_seen_nor_used() {
    let mut route = route();
    route.tools.exclude = vec![Glob::new("files__delete_*")];
    route.resources.exclude = vec![Glob::new("x:/secret*"), Glob::new("y:{p}")];
    let items = [
        (TOOL, "delete_all", ""),
        (TOOL, "read", ""),
        (RESOURCE, "x:/secret", ""),
        (RESOURCE, "x:/open", ""),
        (TEMPLATE, "x:/{path}", ""),
        (TEMPLATE, "y:{p}", ""),
    ];
    let catalog = build(&route, &[backend("files", &items), tools("other", &[])]);
    assert_eq!(shown(&catalog, TOOL), ["files__read"]);
    assert_eq!(
        find(&catalog, "files__delete_all"),
        Err(Unresolved::Unknown)
    );
    assert_eq!(find(&catalog, "delete_all"), Err(Unresolved::Unknown));
    assert_eq!(shown(&catalog, RESOURCE), ["x:/open"]);
    for hidden in [
        "x:/secret",
        "x:/secret/more",
        "files+x:/secret",
        "y:1",
        "files+y:1",
    ] {
        assert_eq!(locate(&catalog, hidden), None, "{hidden}");
    }
    assert_eq!(locate(&catalog, "x:/other").unwrap(), "files x:/other");
    assert_eq!(
        locate(&catalog, "files+x:/other").unwrap(),
        "files x:/other"
    );
}

#[test]
fn a_uri_of_two_backends_is_raw_for_the_first_and_prefixed_for_the_second() {
    let one = backend(
        "one",
        &[
            (RESOURCE, "x:/a", r#""name": "A""#),
            (TEMPLATE, "x:/{p}", ""),
        ],
    );
    let two = backend(
        "two",
        &[
            (RESOURCE, "x:/a", r#""size":1.0"#),
            (RESOURCE, "x:/b", ""),
            (TEMPLATE, "x:/{p}", ""),
            (RESOURCE, "ui://page", ""),
        ],
    );
    let catalog = build(&route(), &[one, two]);
    assert_eq!(
        shown(&catalog, RESOURCE),
        ["x:/a", "two+x:/a", "x:/b", "ui://page"]
    );
    assert_eq!(shown(&catalog, TEMPLATE), ["x:/{p}", "two+x:/{p}"]);
    assert_eq!(
        catalog.items(RESOURCE)[1].definition.as_str(),
        r#"{"uri":"two+x:/a","size":1.0}"#
    );
    for (uri, expected) in [
        ("x:/a", "one x:/a"),
        ("two+x:/a", "two x:/a"),
        ("one+x:/a", "one x:/a"),
        ("x:/b", "two x:/b"),
        ("two+x:/b", "two x:/b"),
        ("x:/c", "one x:/c"),
        ("two+x:/c", "two x:/c"),
        ("ui://two/page", "two ui://page"),
        ("two+unlisted:", "two unlisted:"),
    ] {
        assert_eq!(locate(&catalog, uri).as_deref(), Some(expected), "{uri}");
    }
    assert_eq!(locate(&catalog, "unlisted:"), None);
}

#[test]
fn an_app_that_nobody_lists_is_linked_consistently() {
    let app = |uri: &str| format!(r#""_meta":{{"ui":{{"resourceUri":"{uri}"}}}}"#);
    let one = backend("one", &[(TOOL, "show", &app("ui://view"))]);
    let two = backend("two", &[(TOOL, "show", &app("ui://view"))]);
    let catalog = build(&route(), &[one, two]);
    let definitions: Vec<_> = catalog
        .items(TOOL)
        .iter()
        .map(|item| item.definition.as_str())
        .collect();
    assert_eq!(
        definitions,
        [
            r#"{"name":"one__show","_meta":{"ui":{"resourceUri":"ui://view"}}}"#,
            r#"{"name":"two__show","_meta":{"ui":{"resourceUri":"ui://two/view"}}}"#,
        ]
    );
    assert_eq!(locate(&catalog, "ui://view").unwrap(), "one ui://view");
    assert_eq!(locate(&catalog, "ui://two/view").unwrap(), "two ui://view");
}

/// Somebody whose client shows the pages of apps.
fn app_host() -> Caller {
    let declared = r#"{"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}}"#;
    Caller {
        capabilities: Arc::new(ClientCapabilities::parse(json(declared)).unwrap()),
        ..caller()
    }
}

const APP_ONLY: &str = r#""_meta":{"ui":{"visibility":["app"]}}"#;

#[test]
fn tools_for_pages_only_are_listed_for_clients_that_show_pages_and_for_nobody_else() {
    let both = r#""_meta":{"ui":{"resourceUri":"ui://v","visibility":["app","model"]}}"#;
    let items = [
        (TOOL, "plain", ""),
        (TOOL, "refresh", APP_ONLY),
        (TOOL, "show", both),
    ];
    let mut route = route();
    for first_page in [1, 2, 3] {
        route.first_page = first_page;
        let catalog = build(&route, &[backend("a", &items)]);
        assert!(!catalog.is_same_for_all(TOOL));
        assert!(catalog.is_same_for_all(RESOURCE));
        let all = ["a__plain", "a__refresh", "a__show"];
        for authorization in [&AllAllowed as &dyn Authorization, &Hides("nothing")] {
            assert_eq!(listed(&catalog, &app_host(), authorization), all);
            let without = listed(&catalog, &caller(), authorization);
            assert_eq!(without, ["a__plain", "a__show"]);
        }
    }
    let none = build(&route, &[tools("a", &["plain"])]);
    assert!(none.is_same_for_all(TOOL));
}

#[test]
fn a_list_of_several_pages_is_not_the_same_for_all_since_its_cursors_are_not() {
    let mut route = route();
    route.first_page = 2;
    assert!(build(&route, &[tools("a", &["x", "y"])]).is_same_for_all(TOOL));
    assert!(!build(&route, &[tools("a", &["x", "y", "z"])]).is_same_for_all(TOOL));
}

/// All pages of the tools that a caller gets.
fn listed(catalog: &Catalog, caller: &Caller, authorization: &dyn Authorization) -> Vec<String> {
    use isthmus_protocol::object::{elements, member, string_member};
    let keys = isthmus_seal::SealKeys::generate();
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let view = View {
            caller,
            authorization,
        };
        let page = catalog.page(TOOL, cursor.as_deref(), view, &keys).unwrap();
        let tools = elements(&member(&page, "tools").unwrap()).unwrap();
        names.extend(tools.iter().filter_map(|tool| string_member(tool, "name")));
        cursor = string_member(&page, "nextCursor");
        if cursor.is_none() {
            return names;
        }
    }
}

#[test]
fn a_page_calls_tools_by_their_own_names_if_these_are_unique_among_what_is_seen() {
    let app = backend("app", &[(TOOL, "refresh", APP_ONLY), (TOOL, "show", "")]);
    let catalog = build(&route(), std::slice::from_ref(&app));
    let host = app_host();
    let found = |catalog: &Catalog, caller: &Caller, name: &str| {
        let target = catalog.find(TOOL, name, everything(caller))?;
        Ok(target.backend.to_string())
    };
    assert_eq!(found(&catalog, &host, "refresh"), Ok("app".to_owned()));
    assert_eq!(
        found(&catalog, &caller(), "refresh"),
        Err(Unresolved::Unknown)
    );
    // A backend that comes later does not capture the name.
    let catalog = build(&route(), &[tools("evil", &["refresh"]), app]);
    assert_eq!(
        found(&catalog, &host, "refresh"),
        Err(Unresolved::Ambiguous)
    );
    // Who does not see the app's tool can only mean the other.
    assert_eq!(found(&catalog, &caller(), "refresh"), Ok("evil".to_owned()));
    assert_eq!(found(&catalog, &host, "show"), Ok("app".to_owned()));
}

#[test]
fn a_bare_name_that_is_another_backends_exposed_one_is_remarked_upon() {
    let mut bare = tools("first", &["refresh"]);
    bare.settings.prefix = String::new();
    let catalog = build(&route(), &[bare, tools("app", &["refresh"])]);
    assert_eq!(find(&catalog, "refresh").unwrap(), "first refresh");
    let remarks: Vec<_> = catalog.remarks().iter().map(ToString::to_string).collect();
    assert_eq!(
        remarks,
        ["tool `refresh` of `app`: without its prefix the name means an item of `first`"]
    );
}

#[test]
fn a_page_nobody_lists_belongs_to_the_tool_that_names_it_and_not_to_a_template_for_everything() {
    let app = r#""_meta":{"ui":{"resourceUri":"ui://view"},"ui/resourceUri":"ui://view"}"#;
    let catalog = build(
        &route(),
        &[
            backend("greedy", &[(TEMPLATE, "{+any}", "")]),
            backend("app", &[(TOOL, "show", app)]),
        ],
    );
    assert_eq!(locate(&catalog, "ui://view").unwrap(), "app ui://view");
    assert_eq!(locate(&catalog, "ui://app/view").unwrap(), "app ui://view");
    let definition = &catalog.items(TOOL)[0].definition;
    assert_eq!(
        definition.as_str(),
        format!(r#"{{"name":"app__show",{app}}}"#)
    );
}

#[test]
fn the_domain_of_a_page_is_dropped_and_the_rest_of_its_settings_stays() {
    let meta = r#""_meta":{"ui":{"domain":"abc.example","csp":{"connectDomains":["https://x"]}}}"#;
    let items = [(RESOURCE, "ui://a", meta), (TEMPLATE, "ui://{p}", meta)];
    let catalog = build(&route(), &[backend("a", &items)]);
    for kind in [RESOURCE, TEMPLATE] {
        let definition = &catalog.items(kind)[0].definition;
        assert!(
            definition.as_str().contains("connectDomains"),
            "{definition}"
        );
        assert!(!definition.as_str().contains("domain\""), "{definition}");
    }
}

#[test]
fn a_retry_leads_where_the_request_before_it_went() {
    let mut route = route();
    let a = backend("a", &[(TOOL, "x", ""), (RESOURCE, "x:", "")]);
    let caller = caller();
    let at = |catalog: &Catalog,
              kind,
              backend: &str,
              native: &str,
              authorization: &dyn Authorization| {
        let view = View {
            caller: &caller,
            authorization,
        };
        let backend = fixture::name(backend);
        let target = catalog.target_at(kind, &backend, native, "exposed", view)?;
        Some((
            target.backend.to_string(),
            target.native,
            target.item.is_some(),
        ))
    };
    let there =
        |backend: &str, native: &str, listed| Some((backend.to_owned(), native.to_owned(), listed));
    let catalog = build(&route, &[a.clone(), tools("b", &["x"])]);
    let all = &AllAllowed;
    assert_eq!(at(&catalog, TOOL, "a", "x", all), there("a", "x", true));
    assert_eq!(at(&catalog, TOOL, "b", "x", all), there("b", "x", true));
    assert_eq!(
        at(&catalog, RESOURCE, "a", "x:", all),
        there("a", "x:", true)
    );
    // Whether it is still listed, and the backend still there, is for whoever keeps the call to say.
    assert_eq!(
        at(&catalog, TOOL, "a", "gone", all),
        there("a", "gone", false)
    );
    assert_eq!(
        at(&catalog, TOOL, "gone", "x", all),
        there("gone", "x", false)
    );
    assert_eq!(
        at(&catalog, RESOURCE, "gone", "x:", all),
        there("gone", "x:", false)
    );
    // Its name may lead elsewhere now.
    route.tools.rename = vec![("b__x".to_owned(), "a__x".to_owned())];
    let renamed = build(&route, &[a.clone(), tools("b", &["x"])]);
    assert_eq!(find(&renamed, "a__x").unwrap(), "b x");
    assert_eq!(at(&renamed, TOOL, "a", "x", all), there("a", "x", false));
    // But what is hidden now is hidden.
    for (backend, native) in [("a", "x"), ("a", "gone"), ("gone", "x")] {
        let hides = Hides(if native == "x" { "x" } else { "gone" });
        assert_eq!(at(&catalog, TOOL, backend, native, &hides), None);
    }
    assert_eq!(at(&catalog, RESOURCE, "a", "x:", &Hides("x:")), None);
    assert_eq!(at(&catalog, RESOURCE, "gone", "x:", &Hides("x:")), None);
    route.tools.exclude = vec![Glob::new("a__*")];
    route.resources.exclude = vec![Glob::new("x:")];
    let without = build(&route, &[a]);
    assert_eq!(at(&without, TOOL, "a", "x", all), None);
    assert_eq!(at(&without, RESOURCE, "a", "x:", all), None);
}

#[test]
fn an_absent_backend_is_not_shown_but_keeps_its_names_and_uris() {
    let mut one = backend("one", &[(TOOL, "x", ""), (RESOURCE, "x:/a", "")]);
    let two = backend("two", &[(TOOL, "x", ""), (RESOURCE, "x:/a", "")]);
    let Standing::Listed(listing) = one.standing.clone() else {
        unreachable!("the fixture lists");
    };
    one.standing = Standing::Absent(Some(listing));
    let catalog = build(&route(), &[one, two]);
    assert_eq!(shown(&catalog, TOOL), ["two__x"]);
    assert_eq!(shown(&catalog, RESOURCE), ["two+x:/a"]);
    assert_eq!(find(&catalog, "one__x").unwrap(), "one x");
    assert_eq!(find(&catalog, "x"), Err(Unresolved::Ambiguous));
    assert_eq!(locate(&catalog, "x:/a").unwrap(), "one x:/a");
}

#[test]
fn a_tool_with_invalid_headers_is_dropped_where_headers_are_sent() {
    let bad =
        r#""inputSchema":{"type":"object","properties":{"a":{"type":"array","x-mcp-header":"A"}}}"#;
    let mut http = backend("web", &[(TOOL, "bad", bad), (TOOL, "good", "")]);
    http.settings.wire = Wire::Http(HttpWire {
        urls: Vec::new(),
        headers: Vec::new(),
        tls: isthmus_config::BackendTls::default(),
        process: None,
    });
    let mut listing = fixture::listing(&[(TOOL, "bad", bad), (TOOL, "good", "")]);
    let catalog = build(&route(), std::slice::from_ref(&http));
    assert_eq!(shown(&catalog, TOOL), ["web__bad", "web__good"]);
    listing.facts.revision = Revision::V2026_07_28;
    http.standing = Standing::Listed(Arc::new(listing));
    let catalog = build(&route(), &[http]);
    assert_eq!(shown(&catalog, TOOL), ["web__good"]);
    assert!(matches!(
        catalog.remarks()[0].reason,
        Reason::InvalidHeaders { .. }
    ));
}

#[test]
fn a_backend_that_repeats_itself_or_has_endless_names_loses_only_those() {
    let long = "x".repeat(LONGEST_KEY + 1);
    let catalog = build(&route(), &[tools("a", &["x", "x", &long, "y"])]);
    assert_eq!(shown(&catalog, TOOL), ["a__x", "a__y"]);
    assert_eq!(catalog.remarks().len(), 2);
}

#[test]
fn the_operators_words_replace_the_backends_and_nothing_else_changes() {
    let mut route = route();
    let words = Override {
        description: Some("Better.".to_owned()),
        ..Override::default()
    };
    route.tools.overrides = vec![("a__x".to_owned(), words)];
    route.tools.rename = vec![("a__x".to_owned(), "x2".to_owned())];
    let catalog = build(
        &route,
        &[backend(
            "a",
            &[(TOOL, "x", r#""n" : 1e400,"description":"?""#)],
        )],
    );
    let item = &catalog.items(TOOL)[0];
    assert_eq!(
        item.definition.as_str(),
        r#"{"name":"x2","n" : 1e400,"description":"Better."}"#
    );
    assert_eq!(
        item.native_definition.as_str(),
        r#"{"name":"x","n" : 1e400,"description":"?"}"#
    );
}

#[test]
fn a_backend_alone_without_prefix_is_seen_as_it_is() {
    let mut alone = backend(
        "a",
        &[(TOOL, "x", r#""a" : [1.0]"#), (RESOURCE, "a+x:", "")],
    );
    alone.settings.prefix = String::new();
    let catalog = build(&route(), std::slice::from_ref(&alone));
    let Standing::Listed(listing) = &alone.standing else {
        unreachable!("the fixture lists");
    };
    assert_eq!(
        catalog.items(TOOL)[0].definition.as_bytes().as_ptr(),
        listing.items[0].definition.as_bytes().as_ptr()
    );
    assert!(catalog.keeps_uris());
    assert_eq!(locate(&catalog, "anything:").unwrap(), "a anything:");
    assert_eq!(locate(&catalog, "a+x:").unwrap(), "a a+x:");
}

#[derive(Debug)]
struct Hides(&'static str);

impl Authorization for Hides {
    fn decide(&self, _caller: &Caller, item: &Item, _attempt: Option<Attempt<'_>>) -> Verdict {
        Verdict::by_default(if item.native == self.0 {
            Decision::Hide
        } else {
            Decision::Allow
        })
    }
}

#[test]
fn what_a_caller_may_not_see_is_as_if_it_were_not_there() {
    let items = [
        (TOOL, "x", ""),
        (TOOL, "y", ""),
        (RESOURCE, "x:", ""),
        (TEMPLATE, "{+any}", ""),
    ];
    let catalog = build(&route(), &[backend("a", &items), tools("b", &["x"])]);
    let caller = caller();
    let sees = |authorization| View {
        caller: &caller,
        authorization,
    };
    let hidden = sees(&Hides("y"));
    assert_eq!(
        catalog.find(TOOL, "a__y", hidden).unwrap_err(),
        Unresolved::Unknown
    );
    assert_eq!(
        catalog.find(TOOL, "y", hidden).unwrap_err(),
        Unresolved::Unknown
    );
    let keys = isthmus_seal::SealKeys::generate();
    let page = catalog.page(TOOL, None, hidden, &keys).unwrap();
    assert_eq!(
        page.as_str(),
        r#"{"tools":[{"name":"a__x"},{"name":"b__x"}]}"#
    );
    // Neither may a template lead around it.
    assert!(catalog.locate("x:", sees(&Hides("x:"))).is_none());
    assert!(catalog.locate("b+z:", sees(&Hides("z:"))).is_none());
    assert!(catalog.locate("z:", sees(&Hides("{+any}"))).is_none());
}

#[test]
fn a_completion_refers_to_a_template_or_to_a_resource() {
    let items = [(TEMPLATE, "x:/{p}", ""), (RESOURCE, "y:", "")];
    let catalog = build(&route(), &[backend("a", &items), backend("b", &items)]);
    let caller = caller();
    let check = |reference: &str, expected: &str| {
        let target = catalog
            .locate_reference(reference, everything(&caller))
            .unwrap();
        assert_eq!(format!("{} {}", target.backend, target.native), expected);
    };
    check("x:/{p}", "a x:/{p}");
    check("b+x:/{p}", "b x:/{p}");
    check("x:/1", "a x:/1");
    check("b+y:", "b y:");
    assert!(
        catalog
            .locate_reference("z:{p}", everything(&caller))
            .is_none()
    );
}

proptest! {
    #[test]
    fn names_do_not_depend_on_order_or_company(
        first in proptest::collection::btree_set("[a-c.]{1,60}", 0..5),
        second in proptest::collection::btree_set("[a-c.]{1,60}", 0..5),
    ) {
        let as_text = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        let fixture = |name, keys: &[String]| tools(name, &keys.iter().map(String::as_str).collect::<Vec<_>>());
        let one = fixture("one", &as_text(&first));
        let two = fixture("two", &as_text(&second));
        let sorted = |catalog: &Catalog| {
            let mut names = shown(catalog, TOOL);
            names.sort();
            names
        };
        let both = build(&route(), &[one.clone(), two.clone()]);
        let swapped = build(&route(), &[two.clone(), one.clone()]);
        prop_assert_eq!(sorted(&both), sorted(&swapped));
        let mut apart = sorted(&build(&route(), &[one]));
        apart.extend(sorted(&build(&route(), &[two])));
        apart.sort();
        prop_assert_eq!(sorted(&both), apart);
        prop_assert!(both.remarks().is_empty());
        for item in both.items(TOOL) {
            let found = find(&both, &item.exposed).unwrap();
            prop_assert_eq!(found, format!("{} {}", item.backend, item.native));
        }
    }
}

#[test]
fn annotations_of_a_resource_can_be_overridden_by_its_exposed_uri() {
    let mut route = route();
    let words = Override {
        annotations: serde_json::json!({"priority": 1}).as_object().cloned(),
        ..Override::default()
    };
    route.resources.overrides = vec![("x:".to_owned(), words)];
    let catalog = build(&route, &[backend("a", &[(RESOURCE, "x:", "")])]);
    assert_eq!(
        catalog.items(RESOURCE)[0].definition,
        json(r#"{"uri":"x:","annotations":{"priority":1}}"#)
    );
}
