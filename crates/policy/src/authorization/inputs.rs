//! What one decision is made from. Everything is made when an expression asks for it, and what belongs to a credential once.

use std::sync::OnceLock;

use cel::common::types::{CelList, CelString};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use isthmus_exchange::{Attempt, Caller, Item, ItemKind, Principal};
use isthmus_protocol::object::{member, string_member};
use isthmus_protocol::{Method, RawJson};
use serde_json::{Map, Value};

use super::json::{self, Boxed};

/// The inputs that are the same in every decision about one credential.
#[derive(Debug, Default)]
pub(super) struct OfCredential {
    principal: OnceLock<Boxed>,
    claims: OnceLock<Boxed>,
    scopes: OnceLock<Boxed>,
}

/// The inputs of one decision.
pub(super) struct Inputs<'a> {
    caller: &'a Caller,
    credential: &'a OfCredential,
    route: &'a str,
    item: &'a Item,
    method: &'a Method,
    /// `None`: not known yet.
    arguments: Option<Boxed>,
    described: OnceLock<Boxed>,
    client: OnceLock<Boxed>,
}

impl<'a> Inputs<'a> {
    /// What is to be decided about `item`. `None` if the arguments cannot be read.
    pub(super) fn new(
        caller: &'a Caller,
        credential: &'a OfCredential,
        route: &'a str,
        item: &'a Item,
        attempt: Option<Attempt<'a>>,
    ) -> Option<Self> {
        let arguments = match attempt.and_then(|attempt| attempt.arguments) {
            Some(arguments) => Some(json::object(arguments)?),
            None => None,
        };
        Some(Self {
            caller,
            credential,
            route,
            item,
            method: attempt.map_or(usual_method(item.kind), |attempt| attempt.method),
            arguments,
            described: OnceLock::new(),
            client: OnceLock::new(),
        })
    }

    /// Whether it is known with which arguments.
    pub(super) const fn has_arguments(&self) -> bool {
        self.arguments.is_some()
    }
}

impl VariableResolver for Inputs<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let text = |text: &'b str| Some(CowVal::owned(CelString::from(text)));
        let principal = &self.caller.principal;
        let made = match variable {
            "route" => return text(self.route),
            "backend" => return text(self.item.backend.as_str()),
            "kind" => return text(kind_word(self.item.kind)),
            "name" => return text(&self.item.exposed),
            "native" => return text(&self.item.native),
            "method" => return text(self.method.as_str()),
            "arguments" => self.arguments.as_ref()?,
            "principal" => {
                let made = &self.credential.principal;
                made.get_or_init(|| of_principal(principal))
            }
            "claims" => self.credential.claims.get_or_init(|| {
                let claims = principal.claims().and_then(json::object);
                claims.unwrap_or_else(nothing)
            }),
            "scopes" => self.credential.scopes.get_or_init(|| {
                let scopes = principal.scopes().iter();
                let scopes: Vec<Boxed> = scopes.map(|scope| json::text(scope)).collect();
                Box::new(CelList::from(scopes))
            }),
            "item" => self.described.get_or_init(|| describe(self.item)),
            "client" => self.client.get_or_init(|| of_client(self.caller)),
            _ => return None,
        };
        Some(CowVal::Borrowed(made.as_ref()))
    }
}

/// The word for a kind, as rules write it.
pub(super) const fn kind_word(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Tool => "tool",
        ItemKind::Prompt => "prompt",
        ItemKind::Resource => "resource",
        ItemKind::ResourceTemplate => "resource_template",
    }
}

/// By which method what stands in a list is used.
const fn usual_method(kind: ItemKind) -> &'static Method {
    match kind {
        ItemKind::Tool => &Method::ToolsCall,
        ItemKind::Prompt => &Method::PromptsGet,
        ItemKind::Resource | ItemKind::ResourceTemplate => &Method::ResourcesRead,
    }
}

fn of_principal(principal: &Principal) -> Boxed {
    let identity = principal.identity();
    let part = |part: fn(&isthmus_exchange::Identity) -> &String| {
        json::text(identity.map_or("", |identity| part(identity)))
    };
    json::map([
        (
            "method",
            json::text(identity.map_or("none", |identity| &identity.method)),
        ),
        ("issuer", part(|identity| &identity.issuer)),
        ("subject", part(|identity| &identity.subject)),
        ("tenant", part(|identity| &identity.tenant)),
        ("id", json::text(principal.id().as_str())),
    ])
}

fn of_client(caller: &Caller) -> Boxed {
    let address = caller
        .address
        .map(|address| address.ip().to_canonical().to_string());
    let name = caller.client_info.as_ref();
    let name = name.and_then(|info| string_member(info, "name"));
    json::map([
        ("address", json::text(&address.unwrap_or_default())),
        ("name", json::text(&name.unwrap_or_default())),
    ])
}

fn describe(item: &Item) -> Boxed {
    let annotations = member(&item.definition, "annotations");
    let mut annotations = annotations.as_ref().map_or_else(Map::new, members);
    if item.kind == ItemKind::Tool {
        for (hint, usual) in TOOL_HINTS {
            let written = annotations.get(hint).is_some_and(Value::is_boolean);
            if !written {
                annotations.insert(hint.to_owned(), Value::Bool(usual));
            }
        }
    }
    let title = string_member(&item.definition, "title");
    json::map([
        ("annotations", json::value(Value::Object(annotations))),
        ("title", json::text(&title.unwrap_or_default())),
    ])
}

fn members(object: &RawJson) -> Map<String, Value> {
    serde_json::from_str(object.as_str()).unwrap_or_default()
}

fn nothing() -> Boxed {
    json::value(Value::Object(Map::new()))
}

/// What a hint means that a tool does not give (26:schema, `ToolAnnotations`).
const TOOL_HINTS: [(&str, bool); 4] = [
    ("readOnlyHint", false),
    ("destructiveHint", true),
    ("idempotentHint", false),
    ("openWorldHint", true),
];
