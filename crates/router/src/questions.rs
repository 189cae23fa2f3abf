//! What a backend asks, as the client that is asked sees it.
//!
//! Whoever relays a question says who asks (S13): behind one endpoint a user cannot know otherwise whether the mail server
//! or the game wants the password. URIs inside become the ones that lead back to the backend.

use isthmus_exchange::BackendName;
use isthmus_protocol::object::{self, ObjectEdit};
use isthmus_protocol::visit::{self, UriMap};
use isthmus_protocol::{Method, RawJson};

/// Turns the questions of one backend into what clients see.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    /// Who asks.
    pub(crate) backend: &'a BackendName,
    /// The route leads to others too, so the user has to be told.
    pub(crate) among_others: bool,
    /// What its URIs become.
    pub(crate) exposed: UriMap<'a>,
}

impl Asking<'_> {
    /// The parameters of one question.
    pub(crate) fn params(&self, method: &Method, params: &RawJson) -> RawJson {
        let params = match method {
            Method::SamplingCreateMessage => visit::rewrite_result(method, params, self.exposed),
            Method::ElicitationCreate if self.among_others => self.with_name_in_message(params),
            _ => params.clone(),
        };
        object::edit_member(&params, "_meta", |meta| {
            meta.set(ASKING_BACKEND, RawJson::string(self.backend.as_str()))
        })
    }

    /// All questions of an `input_required`: an object of `{method, params}` by key. Keys stay, they are the backend's.
    pub(crate) fn requests(&self, requests: &RawJson) -> RawJson {
        let Ok(entries) = object::members(requests) else {
            return requests.clone();
        };
        let named = entries.iter().map(|(key, entry)| {
            let method = object::string_member(entry, "method").unwrap_or_default();
            let params = object::member(entry, "params");
            let params = params.unwrap_or_else(RawJson::empty_object);
            let params = self.params(&Method::parse(&method), &params);
            let entry = ObjectEdit::new(entry).set("params", params).finish();
            (key.as_str(), entry)
        });
        object::assemble(named)
    }

    fn with_name_in_message(&self, params: &RawJson) -> RawJson {
        let Some(message) = object::string_member(params, "message") else {
            return params.clone();
        };
        let message = format!("{}: {message}", self.backend);
        ObjectEdit::new(params)
            .set("message", RawJson::string(&message))
            .finish()
    }
}

/// The key in a question's `_meta` that names who asks.
const ASKING_BACKEND: &str = "dev.isthmus/backend";

#[cfg(test)]
mod tests {
    use isthmus_protocol::visit::UriPlace;

    use super::*;

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    fn asked(among_others: bool, requests: &str) -> String {
        let asking = Asking {
            backend: &BackendName::parse("mail").unwrap(),
            among_others,
            exposed: &|_: UriPlace, uri| Some(format!("mail+{uri}")),
        };
        asking.requests(&json(requests)).to_string()
    }

    #[test]
    fn every_question_names_who_asks_and_a_user_can_read_it() {
        let requests = r#"{"a":{"method":"elicitation/create","params":{"message":"Your name?","mode":"form","x":1.0}},
            "b":{"method":"roots/list"},"c":{"method":"roots/list","params":{"_meta":{"k":1}}}}"#;
        assert_eq!(
            asked(true, requests),
            r#"{"a":{"method":"elicitation/create","params":{"message":"mail: Your name?","mode":"form","x":1.0,"_meta":{"dev.isthmus/backend":"mail"}}},"b":{"method":"roots/list","params":{"_meta":{"dev.isthmus/backend":"mail"}}},"c":{"method":"roots/list","params":{"_meta":{"k":1,"dev.isthmus/backend":"mail"}}}}"#
        );
        assert!(asked(false, requests).contains(r#""message":"Your name?""#));
    }

    #[test]
    fn a_backend_cannot_ask_in_the_name_of_another() {
        let requests =
            r#"{"a":{"method":"roots/list","params":{"_meta":{"dev.isthmus/backend":"bank"}}}}"#;
        assert_eq!(asked(false, requests), requests.replace("bank", "mail"));
    }

    #[test]
    fn links_in_what_a_model_is_asked_lead_back() {
        let requests = r#"{"s":{"method":"sampling/createMessage","params":{"messages":[{"role":"user","content":[{"type":"tool_result","toolUseId":"1",
            "content":[{"type":"resource_link","uri":"x:1"},{"type":"resource","resource":{"uri":"x:2"}}]}]}],"systemPrompt":"x:3"}}}"#;
        let asked = asked(true, requests);
        assert!(
            asked.contains("mail+x:1") && asked.contains("mail+x:2"),
            "{asked}"
        );
        assert!(!asked.contains("mail+x:3"), "{asked}");
    }

    #[test]
    fn what_is_no_object_of_questions_stays_as_it_is() {
        for odd in ["[]", "1", "{}"] {
            assert_eq!(asked(true, odd), odd);
        }
    }
}
