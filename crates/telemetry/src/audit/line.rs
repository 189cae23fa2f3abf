//! What a line says.

use std::net::SocketAddr;
use std::time::Duration;

use isthmus_config::AuditArguments;
use isthmus_exchange::{Caller, Decision, Error, ErrorKind, Principal, Request, Subject, Trail};
use isthmus_protocol::{RawJson, object};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A request that got no further than the door.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The route it was for.
    pub route: &'a str,
    /// Where it came from.
    pub address: Option<SocketAddr>,
    /// What it was answered with.
    pub status: u16,
    /// Why, in one sentence.
    pub reason: &'a str,
}

/// What is known of a request when it begins.
#[derive(Debug)]
pub(crate) struct Begun {
    at: OffsetDateTime,
    route: String,
    method: String,
    exposed: Option<String>,
    principal: Principal,
    client: Option<String>,
    address: Option<SocketAddr>,
    trace: Option<String>,
    arguments: Option<RawJson>,
}

/// How a request ended.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// With this outcome: `complete`, `tool_error`, `input_required`, `task`, `listening`.
    As(&'static str),
    /// With this error.
    Failed(Error),
    /// Nobody waits for it any more.
    Abandoned,
}

/// A line as it is written; members that say nothing are left out.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    route: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<Who<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    native: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a RawJson>,
}

#[derive(Serialize)]
struct Who<'a> {
    method: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    issuer: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tenant: &'a str,
}

impl Begun {
    pub(crate) fn of(request: &Request, route: &str, rules: &[AuditArguments]) -> Self {
        let caller: &Caller = &request.caller;
        let exposed = match &request.subject {
            Subject::None => None,
            Subject::Name(text)
            | Subject::Uri(text)
            | Subject::PromptReference(text)
            | Subject::ResourceReference(text)
            | Subject::Task(text) => Some(text.clone()),
        };
        let arguments = exposed
            .as_deref()
            .and_then(|name| arguments_of(name, &request.params, rules));
        let client = caller.client_info.as_ref();
        Self {
            at: OffsetDateTime::now_utc(),
            route: route.to_owned(),
            method: request.method.as_str().to_owned(),
            exposed,
            principal: caller.principal.clone(),
            client: client.and_then(|info| object::string_member(info, "name")),
            address: caller.address,
            trace: request.trace.parent.as_deref().and_then(trace_id),
            arguments,
        }
    }

    pub(crate) fn line(&self, trail: &Trail, ended: &Ended, took: Duration) -> String {
        let target = trail.target();
        let verdict = trail.verdict();
        let (outcome, error) = match ended {
            Ended::As(outcome) => (*outcome, None),
            Ended::Failed(error) => (outcome_of(error), Some(error.message())),
            Ended::Abandoned => ("abandoned", None),
        };
        let kind = target.and_then(|target| target.item.as_ref());
        write(&Line {
            time: moment(self.at),
            route: &self.route,
            method: Some(&self.method),
            principal: Some(who(&self.principal)),
            client: self.client.as_deref(),
            address: self.address,
            kind: kind.map(|item| item.kind.to_string()),
            name: self.exposed.as_deref(),
            native: target.map(|target| target.native.as_str()),
            backend: target.map(|target| target.backend.as_str()),
            decision: verdict.map(|verdict| match verdict.decision {
                Decision::Allow => "allow",
                Decision::Hide => "hide",
                Decision::StepUp(_) => "step_up",
            }),
            rule: verdict.and_then(|verdict| verdict.rule.as_ref().map(|rule| rule.name.as_str())),
            outcome,
            status: None,
            error,
            duration_ms: Some((took.as_secs_f64() * 1e6).round() / 1e3),
            trace_id: self.trace.as_deref(),
            arguments: self.arguments.as_ref(),
        })
    }
}

impl Refusal<'_> {
    pub(crate) fn line(&self) -> String {
        write(&Line {
            time: moment(OffsetDateTime::now_utc()),
            route: self.route,
            method: None,
            principal: None,
            client: None,
            address: self.address,
            kind: None,
            name: None,
            native: None,
            backend: None,
            decision: None,
            rule: None,
            outcome: "refused",
            status: Some(self.status),
            error: Some(self.reason),
            duration_ms: None,
            trace_id: None,
            arguments: None,
        })
    }
}

/// The arguments of a request for `name` as the first rule that names it lets them be written; `None` if none does.
#[must_use]
pub fn arguments_of(name: &str, params: &RawJson, rules: &[AuditArguments]) -> Option<RawJson> {
    let rule = rules
        .iter()
        .find(|rule| rule.names.iter().any(|glob| glob.matches(name)))?;
    let arguments = object::member(params, "arguments")?;
    let mut value: Value = arguments.read().ok()?;
    hide(&mut value, &rule.hide);
    Some(RawJson::from_serialize(&value))
}

fn hide(value: &mut Value, keys: &[String]) {
    match value {
        Value::Object(members) => {
            for (key, value) in members.iter_mut() {
                if keys.iter().any(|hidden| hidden.eq_ignore_ascii_case(key)) {
                    *value = Value::String("[hidden]".to_owned());
                } else {
                    hide(value, keys);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| hide(element, keys)),
        _ => {}
    }
}

fn who(principal: &Principal) -> Who<'_> {
    match principal.identity() {
        None => Who {
            method: "none",
            issuer: "",
            subject: "",
            tenant: "",
        },
        Some(identity) => Who {
            method: &identity.method,
            issuer: &identity.issuer,
            subject: &identity.subject,
            tenant: &identity.tenant,
        },
    }
}

/// What an error comes to for whoever reads many lines.
fn outcome_of(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Limited { .. } => "limited",
        ErrorKind::Overloaded { .. } => "overloaded",
        ErrorKind::InsufficientScope { .. } => "step_up",
        ErrorKind::TimedOut(_) => "timed_out",
        ErrorKind::BackendUnavailable(_) => "unavailable",
        _ => "error",
    }
}

/// The second part of a `traceparent` (W3C Trace Context).
fn trace_id(parent: &str) -> Option<String> {
    let id = parent.split('-').nth(1)?;
    let legal = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    legal.then(|| id.to_owned())
}

fn moment(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

fn write(line: &Line<'_>) -> String {
    // Nothing in it can fail to serialise.
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use isthmus_config::Glob;

    use super::*;

    fn rule(names: &str, hide: &[&str]) -> AuditArguments {
        AuditArguments {
            names: vec![Glob::new(names)],
            hide: hide.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn arguments_are_written_where_a_rule_says_so_and_without_what_it_hides() {
        let params =
            r#"{"name":"x","arguments":{"user":"a","Password":"p","deep":[{"password":{"x":1}}]}}"#;
        let params = RawJson::parse(params.to_owned()).unwrap();
        let rules = [rule("files__*", &["password"]), rule("*__open", &[])];
        assert_eq!(arguments_of("mail__send", &params, &rules), None);
        let written = arguments_of("files__read", &params, &rules).unwrap();
        assert_eq!(
            written.as_str(),
            r#"{"user":"a","Password":"[hidden]","deep":[{"password":"[hidden]"}]}"#
        );
        let whole = arguments_of("mail__open", &params, &rules).unwrap();
        assert!(whole.as_str().contains(r#""Password":"p""#));
    }

    #[test]
    fn a_trace_id_is_taken_from_a_traceparent_and_from_nothing_else() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = format!("00-{id}-00f067aa0ba902b7-01");
        assert_eq!(trace_id(&parent).as_deref(), Some(id));
        assert_eq!(trace_id("00-x-y-01"), None);
        assert_eq!(trace_id("\n"), None);
    }

    #[test]
    fn a_refusal_is_one_line_whatever_is_in_it() {
        let refusal = Refusal {
            route: "/mcp",
            address: None,
            status: 401,
            reason: "a\nb\"c",
        };
        let line = refusal.line();
        assert_eq!(line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&value["outcome"], &value["status"]),
            (&"refused".into(), &401.into())
        );
    }
}
