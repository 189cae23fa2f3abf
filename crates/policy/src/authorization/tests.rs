use std::path::Path;
use std::sync::Arc;

use isthmus_config::Environment;
use isthmus_exchange::{
    Attachment, Attempt, Authorization, BackendName, Caller, ClientCapabilities, Decision, Item,
    ItemId, ItemKind, Principal, Scope, ScopeId, Verdict,
};
use isthmus_protocol::{Method, RawJson, Revision};

use super::compile_authorization;
use super::remembered::MOST_CREDENTIALS;
use super::rules::Rules;

fn config(rules: &str) -> isthmus_config::Config {
    let text = format!("routes:\n  /mcp:\n    authorization:\n{rules}\n");
    let environment = Environment::new([("HOME", "/")], Path::new("/"));
    isthmus_config::parse(&text, Path::new("gateway.yaml"), &environment).unwrap()
}

/// What a route decides by that has these rules, each `effect: expression` and what else it says.
fn rules(default: &str, rules: &[&str]) -> Arc<dyn Authorization> {
    let mut text = format!("      default: {default}\n      rules:\n");
    for rule in rules {
        text.push_str(&format!("        - {{{rule}}}\n"));
    }
    let config = config(&text);
    let compiled = compile_authorization(&config).unwrap();
    compiled.of(&config.routes[0])
}

fn item(kind: ItemKind, native: &str, definition: &str) -> Item {
    let definition = RawJson::parse(definition.to_owned()).unwrap();
    Item {
        id: ItemId::next(),
        kind,
        backend: BackendName::parse("files").unwrap(),
        native: native.to_owned(),
        exposed: format!("files__{native}"),
        native_definition: definition.clone(),
        definition,
    }
}

fn tool(native: &str) -> Item {
    item(ItemKind::Tool, native, "{}")
}

fn caller(principal: Principal) -> Caller {
    let scope = Arc::new(Scope::principal(ScopeId(0), principal.id().clone()));
    Caller {
        principal,
        revision: Revision::LATEST,
        capabilities: Arc::new(ClientCapabilities::none()),
        client_info: Some(RawJson::parse(r#"{"name":"desk","version":"1"}"#.to_owned()).unwrap()),
        scope,
        attachment: Attachment::Detached,
        address: Some("192.0.2.7:1234".parse().unwrap()),
    }
}

fn anna() -> Principal {
    let claims = r#"{"roles":["writer"],"level":3,"big":18446744073709551615,"share":0.5,"org":{"name":"acme"}}"#;
    Principal::authenticated("jwt", "https://id.example", "anna", "t1")
        .with_claims(RawJson::parse(claims.to_owned()).unwrap())
        .with_scopes(vec!["read".to_owned(), "write".to_owned()])
}

fn decide(rules: &Arc<dyn Authorization>, principal: Principal, item: &Item) -> Decision {
    rules.decide(&caller(principal), item, None).decision
}

/// Whether `expression` is true for Anna and a tool that says of itself what tools may say.
fn holds(expression: &str) -> bool {
    let definition = r#"{"title":"Read it","annotations":{"readOnlyHint":true,"destructiveHint":"odd","x":{"y":[1]}}}"#;
    let item = item(ItemKind::Tool, "read_file", definition);
    let rules = rules(
        "deny",
        &[&format!("allow: '{}'", expression.replace('\'', "''"))],
    );
    let verdict = rules.decide(&caller(anna()), &item, None);
    assert!(!verdict.failed, "{expression}");
    verdict.decision == Decision::Allow
}

#[test]
fn every_input_can_be_read() {
    for expression in [
        r#"principal.method == "jwt" && principal.issuer == "https://id.example""#,
        r#"principal.subject == "anna" && principal["tenant"] == "t1" && principal.id.size() > 0"#,
        r#""writer" in claims.roles && claims.level >= 3 && claims.level == 3.0 && claims.share < 1"#,
        r#"claims.big > 9223372036854775807 && claims.org.name == "acme" && !has(claims.none)"#,
        r#""read" in scopes && scopes.all(s, s in ["read", "write"]) && scopes.exists(s, s.startsWith("w"))"#,
        r#"route == "/mcp" && backend == "files" && kind == "tool" && kind in ["tool", "prompt"]"#,
        r#"name == "files__read_file" && native.matches("^read_") && matches(name, "file$")"#,
        r#"item.annotations.readOnlyHint && item.title == "Read it" && item.annotations.x.y[0] == 1"#,
        r#"client.address == "192.0.2.7" && client.name == "desk" && method == "tools/call""#,
        r#"size(claims.roles) == 1 && string(claims.level) == "3" && type(name) == string"#,
        r#"claims.roles.filter(r, r.contains("rit")) == ["writer"] && claims.roles.map(r, r + "s")[0] == "writers""#,
        r#"claims.level > 5 ? false : true"#,
        r#".name == "files__read_file" && [1].exists(name, name == 1)"#,
    ] {
        assert!(holds(expression), "{expression}");
    }
}

#[test]
fn a_hint_that_a_tool_does_not_give_means_what_the_specification_says() {
    assert!(holds(
        "item.annotations.destructiveHint && item.annotations.openWorldHint"
    ));
    assert!(!holds("item.annotations.idempotentHint"));
    let rules = rules("deny", &["allow: item.annotations.readOnlyHint"]);
    assert_eq!(decide(&rules, anna(), &tool("t")), Decision::Hide);
    // Only tools have hints.
    let prompt = item(ItemKind::Prompt, "p", "{}");
    assert!(rules.decide(&caller(anna()), &prompt, None).failed);
}

#[test]
fn nobody_has_empty_inputs() {
    let rules = rules(
        "deny",
        &[
            r#"allow: 'principal.method == "none" && principal.subject == "" && claims == {} && scopes == []'"#,
        ],
    );
    assert_eq!(
        decide(&rules, Principal::anonymous(), &tool("t")),
        Decision::Allow
    );
    assert_eq!(decide(&rules, anna(), &tool("t")), Decision::Hide);
}

#[test]
fn the_first_rule_that_is_true_decides_and_else_the_default() {
    let written = [
        r#"hide: 'native == "secret"'"#,
        r#"step_up: 'native == "write"', scopes: [write, admin], name: writers, reason: they do it"#,
        r#"allow: 'native != "other"'"#,
    ];
    let rules = rules("deny", &written);
    let verdict = |native: &str| rules.decide(&caller(anna()), &tool(native), None);
    assert_eq!(verdict("secret").decision, Decision::Hide);
    let Verdict { decision, rule, .. } = verdict("write");
    let scopes: Arc<[String]> = ["write".to_owned(), "admin".to_owned()].into();
    assert_eq!(decision, Decision::StepUp(scopes));
    let rule = rule.unwrap();
    assert_eq!(
        (rule.name.as_str(), rule.reason.as_deref()),
        ("writers", Some("they do it"))
    );
    assert_eq!(rule.place, "gateway.yaml:7:21");
    let read = verdict("read");
    assert_eq!(read.decision, Decision::Allow);
    assert_eq!(
        read.rule.unwrap().name,
        "routes./mcp.authorization.rules[2]"
    );
    assert_eq!(verdict("other"), Verdict::by_default(Decision::Hide));
}

#[test]
fn whoever_has_what_a_step_up_takes_may_use_it() {
    let rules = rules("deny", &["step_up: 'true', scopes: [write, admin]"]);
    let with = |scopes: &[&str]| {
        let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
        decide(&rules, anna().with_scopes(scopes), &tool("t"))
    };
    assert!(matches!(with(&[]), Decision::StepUp(_)));
    assert!(matches!(with(&["write"]), Decision::StepUp(_)));
    assert_eq!(with(&["admin", "x", "write"]), Decision::Allow);
}

#[test]
fn what_cannot_be_evaluated_denies_whatever_comes_after_it() {
    for broken in [
        "allow: claims.missing",
        "hide: claims.missing",
        "step_up: claims.missing, scopes: [x]",
        "allow: claims.level",
        "allow: 'claims.roles > 3'",
        "allow: '1 / (claims.level - 3) == 1'",
        "allow: 'claims.roles[9] == \"x\"'",
        "allow: 'name.matches(claims.org.name + \"(\")'",
    ] {
        let rules = rules("allow", &[broken, "allow: 'true'"]);
        let verdict = rules.decide(&caller(anna()), &tool("t"), None);
        assert_eq!(verdict.decision, Decision::Hide, "{broken}");
        assert!(verdict.failed, "{broken}");
    }
    // A side that does not matter may be anything.
    assert!(holds("claims.missing || true") && holds("true || claims.missing"));
    assert!(!holds("claims.missing && false") && !holds("false && claims.missing"));
}

fn attempt<'a>(method: &'a Method, arguments: Option<&'a RawJson>) -> Option<Attempt<'a>> {
    Some(Attempt { method, arguments })
}

#[test]
fn a_list_shows_what_some_arguments_permit_and_a_call_is_decided_by_its_own() {
    let rules = rules(
        "deny",
        &[
            r#"hide: 'arguments.path.startsWith("/etc")'"#,
            r#"step_up: 'kind == "tool" && arguments.amount > 100', scopes: [admin]"#,
            r#"allow: 'native == "read" && has(arguments.path)'"#,
        ],
    );
    assert!(rules.reads_arguments() && rules.reads_attempts());
    let caller = caller(anna());
    let call = |native: &str, arguments: &str| {
        let arguments = RawJson::parse(arguments.to_owned()).unwrap();
        rules.decide(
            &caller,
            &tool(native),
            attempt(&Method::ToolsCall, Some(&arguments)),
        )
    };
    assert!(rules.visible(&caller, &tool("read")));
    assert_eq!(
        call("read", r#"{"path":"/etc/x","amount":1}"#).decision,
        Decision::Hide
    );
    assert_eq!(
        call("read", r#"{"path":"/a","amount":1}"#).decision,
        Decision::Allow
    );
    assert!(matches!(
        call("read", r#"{"path":"/a","amount":101}"#).decision,
        Decision::StepUp(_)
    ));
    assert!(call("read", r#"{"amount":1}"#).failed);
    assert!(call("read", "[]").failed);
    // Where a method has no arguments the list's decision counts.
    let complete = attempt(&Method::CompletionComplete, None);
    let completion = rules.decide(&caller, &tool("read"), complete);
    assert_ne!(completion.decision, Decision::Hide);
    let prompt = item(ItemKind::Prompt, "p", "{}");
    assert!(!rules.visible(&caller, &prompt));
}

#[test]
fn a_rule_may_tell_methods_apart() {
    let rules = rules("allow", &[r#"hide: 'method == "resources/subscribe"'"#]);
    let caller = caller(anna());
    let resource = item(ItemKind::Resource, "x:", "{}");
    let decide = |method| {
        rules
            .decide(&caller, &resource, attempt(method, None))
            .decision
    };
    assert!(rules.visible(&caller, &resource));
    assert_eq!(decide(&Method::ResourcesRead), Decision::Allow);
    assert_eq!(decide(&Method::ResourcesSubscribe), Decision::Hide);
}

#[test]
fn other_scopes_and_claims_are_decided_anew_and_the_same_ones_remembered() {
    let rules = rules(
        "deny",
        &[r#"allow: '"admin" in scopes || claims.level > 5'"#],
    );
    let item = tool("t");
    let level = |level: u8| {
        let claims = RawJson::parse(format!("{{\"level\":{level}}}")).unwrap();
        anna().with_claims(claims)
    };
    for _ in 0..2 {
        assert_eq!(decide(&rules, level(3), &item), Decision::Hide);
        assert_eq!(decide(&rules, level(6), &item), Decision::Allow);
        let admin = level(3).with_scopes(vec!["admin".to_owned()]);
        assert_eq!(decide(&rules, admin, &item), Decision::Allow);
        let other = tool("t");
        assert_eq!(decide(&rules, level(3), &other), Decision::Hide);
    }
}

#[test]
fn what_depends_on_the_address_is_never_remembered() {
    let rules = rules("deny", &[r#"allow: 'client.address == "192.0.2.7"'"#]);
    let (item, mut caller) = (tool("t"), caller(anna()));
    assert!(rules.visible(&caller, &item));
    caller.address = Some("192.0.2.8:1".parse().unwrap());
    assert!(!rules.visible(&caller, &item));
    caller.address = Some("[::ffff:192.0.2.7]:1".parse().unwrap());
    assert!(rules.visible(&caller, &item));
    caller.address = None;
    assert!(!rules.visible(&caller, &item));
}

#[test]
fn what_is_remembered_is_bounded() {
    let rules = Rules::nothing("/mcp");
    let item = tool("t");
    for number in 0..MOST_CREDENTIALS * 2 + 10 {
        let principal = Principal::authenticated("test", "", &number.to_string(), "");
        assert!(!rules.visible(&caller(principal), &item));
    }
    assert!(rules.remembered().credentials() <= MOST_CREDENTIALS);
}

#[test]
fn a_route_without_rules_is_the_same_for_everyone() {
    assert!(rules("allow", &[]).same_for_everyone());
    assert!(!rules("deny", &[]).same_for_everyone());
    assert!(!rules("allow", &["hide: 'false'"]).same_for_everyone());
}

/// What `isthmus check` would say of one expression.
fn complaints(expression: &str) -> Vec<String> {
    let quoted = expression.replace('\'', "''");
    let config = config(&format!("      rules:\n        - allow: '{quoted}'\n"));
    let found = compile_authorization(&config).err();
    let found = found.iter().flat_map(|found| found.all());
    found
        .map(|found| {
            assert_eq!(found.location.to_string(), "gateway.yaml:5:18");
            assert_eq!(found.path, "routes./mcp.authorization.rules[0].allow");
            match &found.help {
                Some(help) => format!("{} ({help})", found.message),
                None => found.message.clone(),
            }
        })
        .collect()
}

#[test]
fn what_can_be_known_to_be_wrong_is_refused_at_its_place() {
    let check = |expression: &str, expected: &str| {
        let found = complaints(expression);
        assert_eq!(found.join("; "), expected, "{expression}");
    };
    check(
        "clams.roles == 1",
        "there is no `clams` here, at character 1 of the expression: `clams.roles == 1` (did you mean `claims`?)",
    );
    check(
        "true && item.anotations.x",
        "`item` has no member `anotations`, at character 13 of the expression: `.anotations.x` (it has `annotations`, `title`)",
    );
    check(
        "principal.name == 'x' || principal['group'] == 'y'",
        "`principal` has no member `name`, at character 10 of the expression: `.name == 'x' || principal['group` (it has `method`, `issuer`, `subject`, `tenant`, `id`); \
         `principal` has no member `group`, at character 35 of the expression: `['group'] == 'y'` (it has `method`, `issuer`, `subject`, `tenant`, `id`)",
    );
    check(
        "name.beginsWith('x')",
        "there is no function `beginsWith`, at character 16 of the expression: `('x')` (there are `size`, `contains`, `startsWith`, `endsWith`, `matches`, `has`, `all`, `exists`, `exists_one`, `map`, `filter`)",
    );
    check(
        "name",
        "this is a string, not true or false, at character 1 of the expression: `name`",
    );
    check(
        "name == 3",
        "a string never equals an int, at character 6 of the expression: `== 3`",
    );
    check(
        "kind == 'resources'",
        "this is never `resources`, at character 9 of the expression: `'resources'` (it is one of `tool`, `prompt`, `resource`, `resource_template`)",
    );
    check(
        "name.matches('(')",
        "not a regular expression, at character 14 of the expression: `'(')` (unclosed group)",
    );
    check(
        "'admin' in name",
        "nothing is `in` a string, at character 9 of the expression: `in name` (a part of a text is looked for by `text.contains(part)`)",
    );
}

#[test]
fn all_kinds_of_mistake_are_found() {
    for wrong in [
        "",
        "name ==",
        "name == 'x",
        "a.b.c",
        "item.title.x == 1",
        "scopes.exists(s, s == 1)",
        "scopes.exists(s, t == 'x')",
        "scopes[\"a\"] == 'x'",
        "name < 3",
        "scopes < scopes",
        "!name",
        "-name == 'x'",
        "name + 1 == 'x'",
        "true ? name : kind",
        "name ? true : false",
        "name && true",
        "1 in scopes",
        "size(3) == 1",
        "size(name, name) == 1",
        "name.startsWith(1)",
        "name.startsWith('a', 'b')",
        "scopes.contains('x')",
        "name.all(c, c == 'x')",
        "name[0] == 'x'",
        "has(name)",
        "Thing{a: 1} == 1",
        "timestamp(name) > timestamp(name)",
        "optional.of(name) == name",
        "claims.?x == 1",
        "kind in ['tools']",
        "matches(name) ",
        "client.port == 1",
        "item['name'] == 'x'",
        "now > 1",
        "1",
        "{}",
        "scopes.map(s, s)",
    ] {
        assert!(!complaints(wrong).is_empty(), "{wrong}");
    }
}

#[test]
fn nothing_is_refused_that_could_be_true() {
    for right in [
        "claims.admin",
        "arguments.x == 1 || arguments.x == 'x' || arguments['y'].z.exists(q, q)",
        "claims.level + 1 > 2 && 'a' + claims.x == 'ab' && claims.l[0] && claims[name]",
        "principal.subject == null || name in claims",
        "item.annotations.all(k, k != 'x') && 'title' in item",
        "[1, 'a', true].exists(x, x == name)",
        "dyn(name) == 1 && int(claims.x) == 1 && double('1') > 0.5 && uint(1) == 1u && bytes('a') == b'a'",
        "{'anna': ['x']}[principal.subject].exists(b, b == backend)",
        "[1, 2].map(x, x * 2).filter(x, x > 1).size() == 2 && [1].exists_one(x, x == 1)",
        "(true ? claims.a : claims.b) && -claims.x < 0 && claims.x % 2 == 0",
    ] {
        assert_eq!(complaints(right), Vec::<String>::new(), "{right}");
    }
}

#[test]
fn every_mistake_of_every_route_is_reported_at_once_and_shared_rules_once() {
    let text = "authorization: {rules: [allow: a, hide: b]}\nroutes: {/a: {}, /b: {}, /c: {authorization: {rules: [allow: c]}}}\n";
    let environment = Environment::new([("HOME", "/")], Path::new("/"));
    let config = isthmus_config::parse(text, Path::new("g.yaml"), &environment).unwrap();
    let found = compile_authorization(&config).unwrap_err().to_string();
    assert_eq!(found.matches("there is no `").count(), 3, "{found}");
    assert!(
        found.starts_with("g.yaml:1:32  authorization.rules[0].allow: there is no `a` here"),
        "{found}"
    );
}
