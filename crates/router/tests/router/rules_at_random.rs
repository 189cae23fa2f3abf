//! For random rules, catalogs and callers: what a list shows is exactly what may be used.

use std::path::Path;
use std::sync::Arc;

use isthmus_config::{Environment, Route};
use isthmus_exchange::{Caller, ErrorKind, ItemKind, Principal, Scope, ScopeId};
use isthmus_protocol::{Method, RawJson, Revision};
use proptest::prelude::*;

use crate::scripted::{Scripted, keys};
use crate::{PROMPT, RESOURCE, TEMPLATE, TOOL, ask_as, caller, json, router, serve_by};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const SCOPES: [&str; 3] = ["s0", "s1", "s2"];
/// What conditions are made of; some cannot be evaluated for some callers or items.
const ATOMS: [&str; 14] = [
    "true",
    "kind == \"tool\"",
    "kind in [\"resource\", \"resource_template\"]",
    "backend == \"one\"",
    "native == \"a\"",
    "name.contains(\"b\")",
    "item.annotations.readOnlyHint",
    "principal.subject == \"anna\"",
    "\"s0\" in scopes",
    "scopes.exists(s, s == \"s1\")",
    "claims.level > 1",
    "has(claims.level)",
    "client.address == \"\"",
    "method == \"tools/call\"",
];

#[derive(Debug, Clone)]
struct Case {
    default: bool,
    rules: Vec<(u8, String, Vec<usize>)>,
    /// Which of the two backends has what, and whether tools read only.
    items: Vec<(bool, usize, usize, bool)>,
    /// Whether it is Anna, her level, her scopes.
    callers: Vec<(bool, Option<u8>, Vec<usize>)>,
}

fn condition() -> impl Strategy<Value = String> {
    let atom = (0..ATOMS.len()).prop_map(|at| ATOMS[at].to_owned());
    atom.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("!({one})")),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one}) && ({two})")),
            (inner.clone(), inner).prop_map(|(one, two)| format!("({one}) || ({two})")),
        ]
    })
}

fn some_scopes(least: usize) -> impl Strategy<Value = Vec<usize>> {
    proptest::sample::subsequence(vec![0, 1, 2], least..=2)
}

fn case() -> impl Strategy<Value = Case> {
    let rule = (0_u8..3, condition(), some_scopes(1));
    let item = (any::<bool>(), 0_usize..4, 0..NAMES.len(), any::<bool>());
    let caller = (any::<bool>(), proptest::option::of(0_u8..4), some_scopes(0));
    (
        any::<bool>(),
        proptest::collection::vec(rule, 0..5),
        proptest::collection::vec(item, 1..12),
        proptest::collection::vec(caller, 1..4),
    )
        .prop_map(|(default, rules, items, callers)| Case {
            default,
            rules,
            items,
            callers,
        })
}

impl Case {
    fn route(&self) -> Route {
        let mut text = format!(
            "authorization:\n  default: {}\n  rules:\n",
            if self.default { "allow" } else { "deny" }
        );
        for (effect, condition, scopes) in &self.rules {
            let scopes: Vec<_> = scopes.iter().map(|at| SCOPES[*at]).collect();
            text.push_str(&match effect {
                0 => format!("    - allow: '{condition}'\n"),
                1 => format!("    - hide: '{condition}'\n"),
                _ => format!(
                    "    - {{step_up: '{condition}', scopes: [{}]}}\n",
                    scopes.join(", ")
                ),
            });
        }
        let environment = Environment::new([("HOME", "/")], Path::new("/"));
        let config = isthmus_config::parse(&text, Path::new("g.yaml"), &environment).unwrap();
        let mut route = config.routes.into_iter().next().unwrap();
        // Room for two pages.
        route.first_page = 3;
        route
    }

    fn items(&self, backend: bool) -> Vec<(ItemKind, String, String)> {
        let mut items: Vec<(ItemKind, String, String)> = Vec::new();
        for (of, kind, name, read_only) in &self.items {
            let (kind, name) = (ItemKind::ALL[*kind], NAMES[*name]);
            let key = match kind {
                ItemKind::Tool | ItemKind::Prompt => name.to_owned(),
                ItemKind::Resource => format!("{name}{backend}:/x"),
                ItemKind::ResourceTemplate => format!("{name}{backend}:/t/{{y}}"),
            };
            let known = items.iter().any(|(k, n, _)| *k == kind && *n == key);
            if *of == backend && !known {
                let more = format!(r#""annotations":{{"readOnlyHint":{read_only}}}"#);
                items.push((kind, key, more));
            }
        }
        items
    }

    fn callers(&self) -> Vec<Arc<Caller>> {
        let callers = self.callers.iter().enumerate();
        callers
            .map(|(number, (anna, level, scopes))| {
                let subject = if *anna { "anna" } else { "bert" };
                let claims = level.map_or_else(RawJson::empty_object, |level| {
                    json(&format!("{{\"level\":{level}}}"))
                });
                let scopes: Vec<String> = scopes.iter().map(|at| SCOPES[*at].to_owned()).collect();
                let principal = Principal::authenticated("jwt", "i", subject, "")
                    .with_claims(claims)
                    .with_scopes(scopes);
                let id = ScopeId(number as u128);
                let scope = Scope::principal(id, principal.id().clone());
                caller(scope, principal, Revision::V2026_07_28)
            })
            .collect()
    }
}

/// How an item of a kind is used, and what is said of one that is not there.
fn use_of(kind: ItemKind, key: &str) -> (Method, String, String) {
    match kind {
        ItemKind::Tool => (
            Method::ToolsCall,
            format!(r#"{{"name":"{key}","arguments":{{}}}}"#),
            format!("unknown tool: {key}"),
        ),
        ItemKind::Prompt => (
            Method::PromptsGet,
            format!(r#"{{"name":"{key}"}}"#),
            format!("unknown prompt: {key}"),
        ),
        ItemKind::Resource => (
            Method::ResourcesRead,
            format!(r#"{{"uri":"{key}"}}"#),
            format!("no resource `{key}`"),
        ),
        ItemKind::ResourceTemplate => (
            Method::CompletionComplete,
            format!(
                r#"{{"ref":{{"type":"ref/resource","uri":"{key}"}},"argument":{{"name":"y","value":""}}}}"#
            ),
            format!("no resource or resource template `{key}`"),
        ),
    }
}

async fn listed(
    stage: &isthmus_exchange::BoxStage,
    who: &Arc<Caller>,
    kind: ItemKind,
) -> Vec<String> {
    let (mut all, mut params) = (Vec::new(), "{}".to_owned());
    loop {
        let page = ask_as(who, stage, kind.list_method(), &params)
            .await
            .unwrap();
        all.extend(keys(&page, kind));
        match isthmus_protocol::object::string_member(&page, "nextCursor") {
            Some(cursor) => params = format!(r#"{{"cursor":"{cursor}"}}"#),
            None => return all,
        }
    }
}

async fn check(case: &Case) {
    let [one, two] = [("one", true), ("two", false)].map(|(name, side)| {
        let items = case.items(side);
        let items: Vec<_> = items
            .iter()
            .map(|(kind, key, more)| (*kind, key.as_str(), more.as_str()))
            .collect();
        Scripted::ready(name, &items)
    });
    let (router, stage) = router([&one, &two]);
    let route = case.route();
    let config = isthmus_config::Config {
        routes: vec![route.clone()],
        ..isthmus_config::Config::default()
    };
    let rules = isthmus_policy::compile_authorization(&config)
        .unwrap()
        .of(&route);
    serve_by(&router, &rules, route, [&one, &two]);
    let catalog = router
        .catalog(&isthmus_exchange::RouteName::new("/mcp"))
        .unwrap();
    for who in case.callers() {
        for kind in [TOOL, PROMPT, RESOURCE, TEMPLATE] {
            let shown = listed(&stage, &who, kind).await;
            for item in catalog.items(kind) {
                let before = one.heard().len() + two.heard().len();
                let (method, params, absent) = use_of(kind, &item.exposed);
                let method_reads = method == Method::CompletionComplete
                    && case
                        .rules
                        .iter()
                        .any(|(_, condition, _)| condition.contains("method"));
                let outcome = ask_as(&who, &stage, method, &params).await;
                let after = one.heard().len() + two.heard().len();
                let is_shown = shown.contains(&item.exposed);
                match outcome {
                    Ok(_) => {
                        assert!(is_shown, "{} is used and not shown: {case:?}", item.exposed);
                    }
                    Err(error) => {
                        assert_eq!(
                            before, after,
                            "{} reached its backend: {case:?}",
                            item.exposed
                        );
                        match error.kind() {
                            ErrorKind::InsufficientScope { scopes } => {
                                assert!(
                                    is_shown,
                                    "{} asks and is not shown: {case:?}",
                                    item.exposed
                                );
                                let own = who.principal.scopes();
                                assert!(scopes.iter().any(|scope| !own.contains(scope)));
                                let exact = case.rules.iter().any(|(effect, _, needed)| {
                                    let needed = needed.iter().map(|at| SCOPES[*at]);
                                    *effect == 2 && scopes.iter().map(String::as_str).eq(needed)
                                });
                                assert!(exact, "{scopes:?}: {case:?}");
                            }
                            // A rule that speaks of methods may tell a completion from a read.
                            _ if method_reads && is_shown => {}
                            _ => {
                                assert!(
                                    !is_shown,
                                    "{} is shown and refused: {case:?}",
                                    item.exposed
                                );
                                assert_eq!(error.message(), absent, "{case:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn what_a_list_shows_is_exactly_what_may_be_used(case in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(check(&case));
    }
}
