//! `isthmus explain`: why a caller sees an item, or does not, and what it may do with it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use isthmus_catalog::{Catalog, View as Eyes};
use isthmus_config::{AuthenticationMethod, Config, Route};
use isthmus_exchange::{
    Authorization, Caller, Decision, Item, ItemKind, ListedItem, Principal, Verdict,
};
use isthmus_policy::{compile_authorization, principal_of_claims, principal_of_key};
use isthmus_protocol::RawJson;
use serde_json::{Value, json};

use super::view::{View, caller_of};
use super::{Failure, LogOptions, print};
use crate::settings;

/// Whom and what to explain.
#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// An item, by exposed or native name, URI or template; else all of them.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Who calls: the name of a key of `api_keys`, or a file with the claims of a token; else somebody unknown.
    #[arg(long = "as", value_name = "KEY|CLAIMS")]
    caller: Option<String>,
    /// The config; else the usual places, as for `run`.
    #[arg(short, long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Which of the config's routes to look at; else the first.
    #[arg(short, long, value_name = "PATH")]
    route: Option<String>,
    /// One JSON array, for machines.
    #[arg(long)]
    json: bool,
}

/// What is said of one item.
struct Explained {
    kind: ItemKind,
    backend: String,
    native: String,
    /// Nothing where clients know it by no name.
    exposed: Option<String>,
    state: &'static str,
    scopes: Vec<String>,
    /// Why.
    why: String,
    /// Which rule decided, and where it was written.
    rule: Option<(String, String)>,
}

/// Says of each item why it is there or is not.
pub(super) fn run(arguments: &ExplainArguments, log: &LogOptions) -> Result<(), Failure> {
    log.start_quiet()?;
    let (path, config) = settings::load(arguments.config.as_deref())?;
    let route = settings::pick_route(&path, &config, arguments.route.as_deref())?;
    let principal = principal(&config, &route, arguments.caller.as_deref())?;
    let rules = compile_authorization(&config)
        .map_err(|complaints| Failure::Config(complaints.to_string()))?
        .of(&route);
    let view = View::of(config, &route)?;
    let found = view.catalog().map(|catalog| {
        let caller = caller_of(principal);
        explain(&catalog, &route, &*rules, &caller)
    });
    let missing = view.missing();
    view.close();
    let mut found = found.unwrap_or_default();
    if let Some(name) = &arguments.name {
        let named = |text: Option<&str>| text == Some(name);
        found.retain(|item| named(item.exposed.as_deref()) || named(Some(&item.native)));
    }
    if arguments.json {
        let all: Vec<Value> = found.iter().map(Explained::to_json).collect();
        print::line(&format!("{:#}", json!(all)));
    } else if !found.is_empty() {
        let headings = ["KIND", "NAME", "BACKEND", "NATIVE NAME", "STATE", "WHY"];
        print::table(&headings, found.iter().map(Explained::row));
    }
    for backend in &missing {
        print::complaint(backend);
    }
    match (&arguments.name, found.is_empty(), missing.is_empty()) {
        (_, true, false) => {
            Err(anyhow::anyhow!("nothing is known of it: {}", missing.join("; ")).into())
        }
        (Some(name), true, true) => Err(Failure::Usage(format!(
            "nothing on `{}` is called `{name}`: to every caller it is absent",
            route.path
        ))),
        _ => Ok(()),
    }
}

/// Who calls, as somebody is named on the command line.
fn principal(config: &Config, route: &Route, named: Option<&str>) -> Result<Principal, Failure> {
    let Some(named) = named else {
        return Ok(Principal::anonymous());
    };
    let methods = |route: &Route| route.authentication.methods.clone();
    let own = methods(route).into_iter();
    let all = own.chain(config.routes.iter().flat_map(methods));
    let mut tenant_claim = None;
    let mut known = Vec::new();
    for method in all {
        match method {
            AuthenticationMethod::ApiKeys(keys) => {
                if let Some(key) = keys.keys.iter().find(|key| key.name == named) {
                    return Ok(principal_of_key(key));
                }
                known.extend(keys.keys.into_iter().map(|key| key.name));
            }
            AuthenticationMethod::Jwt(jwt) => tenant_claim = tenant_claim.or(jwt.tenant_claim),
            _ => {}
        }
    }
    let text = std::fs::read_to_string(named).map_err(|error| {
        known.dedup();
        let keys = if known.is_empty() {
            "there are no keys".to_owned()
        } else {
            format!("keys are `{}`", known.join("`, `"))
        };
        Failure::Usage(format!(
            "`{named}` is no key ({keys}) and no file with claims: {error}"
        ))
    })?;
    let claims = RawJson::parse(text).ok().filter(RawJson::is_object);
    let claims = claims.ok_or_else(|| {
        Failure::Usage(format!(
            "`{named}` does not hold the claims of a token, a JSON object"
        ))
    })?;
    Ok(principal_of_claims(claims, tenant_claim.as_deref()))
}

/// Everything that backends offer on a route, in the order in which clients find it, then what they do not find.
fn explain(
    catalog: &Catalog,
    route: &Route,
    rules: &dyn Authorization,
    caller: &Caller,
) -> Vec<Explained> {
    let eyes = Eyes {
        caller,
        authorization: rules,
    };
    let mut found = Vec::new();
    for kind in ItemKind::ALL {
        let mut shown = HashSet::new();
        for item in catalog.items(kind) {
            shown.insert((item.backend.as_str().to_owned(), item.native.clone()));
            found.push(Explained::of(item, route, &eyes.decide(item, None)));
        }
        for backend in &route.backends {
            let Ok(name) = isthmus_exchange::BackendName::parse(backend) else {
                continue;
            };
            let listed = catalog.listing(&name);
            let listed = listed.iter().flat_map(|listing| &listing.items);
            for item in listed.filter(|item| item.kind == kind) {
                if shown.insert((backend.clone(), item.key.clone())) {
                    found.push(Explained::left_out(catalog, backend, item));
                }
            }
        }
    }
    found
}

impl Explained {
    fn of(item: &Arc<Item>, route: &Route, verdict: &Verdict) -> Self {
        let renamed = match item.kind {
            ItemKind::Tool => &route.tools.rename,
            ItemKind::Prompt => &route.prompts.rename,
            ItemKind::Resource | ItemKind::ResourceTemplate => &route.resources.rename,
        };
        let renamed = renamed.iter().find(|(_, to)| *to == item.exposed);
        let (state, scopes) = match &verdict.decision {
            Decision::Hide => ("hidden", Vec::new()),
            Decision::StepUp(scopes) => ("step-up", scopes.to_vec()),
            Decision::Allow if renamed.is_some() => ("renamed", Vec::new()),
            Decision::Allow => ("visible", Vec::new()),
        };
        let mut why = match (&verdict.rule, &route.authorization) {
            (Some(rule), _) if verdict.failed => {
                format!("{} cannot be evaluated, so it denies", rule.name)
            }
            (Some(rule), _) => rule.name.clone(),
            (None, Some(_)) => "no rule decides: the default".to_owned(),
            (None, None) => "the route has no rules".to_owned(),
        };
        if let Some(reason) = verdict.rule.as_ref().and_then(|rule| rule.reason.as_ref()) {
            why = format!("{why} ({reason})");
        }
        if !scopes.is_empty() {
            why = format!("{why}: needs {}", scopes.join(" "));
        }
        if let Some((from, _)) = renamed {
            why = format!("{why}; `{from}` before it was renamed");
        }
        let rule = verdict.rule.as_ref();
        Self {
            kind: item.kind,
            backend: item.backend.to_string(),
            native: item.native.clone(),
            exposed: Some(item.exposed.clone()),
            state,
            scopes,
            why,
            rule: rule.map(|rule| (rule.name.clone(), rule.place.clone())),
        }
    }

    /// What stands in no list, whoever asks.
    fn left_out(catalog: &Catalog, backend: &str, item: &ListedItem) -> Self {
        let remark = catalog.remarks().iter().find(|remark| {
            remark.kind == item.kind
                && remark.backend.as_str() == backend
                && item.key.starts_with(&remark.native)
        });
        let (state, why) = match remark {
            Some(remark) => ("refused", remark.to_string()),
            None => ("left out", "the route's `include` and `exclude`".to_owned()),
        };
        Self {
            kind: item.kind,
            backend: backend.to_owned(),
            native: item.key.clone(),
            exposed: None,
            state,
            scopes: Vec::new(),
            why,
            rule: None,
        }
    }

    fn row(&self) -> Vec<String> {
        let why = match &self.rule {
            Some((_, place)) if !place.is_empty() => format!("{}, {place}", self.why),
            _ => self.why.clone(),
        };
        vec![
            self.kind.to_string(),
            self.exposed.clone().unwrap_or_default(),
            self.backend.clone(),
            self.native.clone(),
            self.state.to_owned(),
            why,
        ]
    }

    fn to_json(&self) -> Value {
        let mut item = json!({
            "kind": self.kind.to_string(),
            "backend": self.backend,
            "native": self.native,
            "state": self.state,
            "why": self.why,
        });
        if let Some(exposed) = &self.exposed {
            item["name"] = json!(exposed);
        }
        if !self.scopes.is_empty() {
            item["scopes"] = json!(self.scopes);
        }
        if let Some((name, place)) = &self.rule {
            item["rule"] = json!({"name": name, "place": place});
        }
        item
    }
}
