//! What a listen asks a stateless backend for, and what of it is honoured, whatever the wire.

use std::collections::BTreeSet;

use isthmus_exchange::ItemKind;
use isthmus_protocol::object::{assemble, member};
use isthmus_protocol::{ListCapability, RawJson, ServerCapabilities};
use serde::Deserialize;

use crate::conversation::{PeerNotice, Watch};

/// The `notifications` member of a listen or of its acknowledgement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListenFilter {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    resource_subscriptions: BTreeSet<String>,
}

impl ListenFilter {
    /// Of what is wanted, what the backend declares: it would leave the rest out of its acknowledgement anyway.
    pub(crate) fn wanted(wanted: &Watch, declared: &ServerCapabilities) -> Self {
        let changes = |list: Option<ListCapability>| {
            wanted.lists && list.is_some_and(|list| list.list_changed)
        };
        Self {
            tools_list_changed: changes(declared.tools),
            prompts_list_changed: changes(declared.prompts),
            resources_list_changed: changes(declared.resources),
            resource_subscriptions: if declared.resources_subscribe {
                wanted.uris.clone()
            } else {
                BTreeSet::new()
            },
        }
    }

    /// The part of this filter that the `params` of an acknowledgement honour.
    pub(crate) fn honoured(&self, acknowledgement: Option<&RawJson>) -> Self {
        let said: Self = acknowledgement
            .and_then(|params| member(params, "notifications")?.read().ok())
            .unwrap_or_default();
        let uris = &said.resource_subscriptions & &self.resource_subscriptions;
        Self {
            tools_list_changed: self.tools_list_changed && said.tools_list_changed,
            prompts_list_changed: self.prompts_list_changed && said.prompts_list_changed,
            resources_list_changed: self.resources_list_changed && said.resources_list_changed,
            resource_subscriptions: uris,
        }
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The parameters of `subscriptions/listen`.
    pub(crate) fn to_params(&self) -> RawJson {
        let flags = [
            ("toolsListChanged", self.tools_list_changed),
            ("promptsListChanged", self.prompts_list_changed),
            ("resourcesListChanged", self.resources_list_changed),
        ];
        let mut members: Vec<_> = flags
            .into_iter()
            .filter(|(_, wanted)| *wanted)
            .map(|(key, _)| (key, RawJson::assembled("true")))
            .collect();
        if !self.resource_subscriptions.is_empty() {
            members.push((
                "resourceSubscriptions",
                RawJson::from_serialize(&self.resource_subscriptions),
            ));
        }
        assemble([("notifications", assemble(members))])
    }

    /// The same as what a conversation was asked for.
    pub(crate) fn to_watch(&self) -> Watch {
        Watch {
            lists: self.tools_list_changed
                || self.prompts_list_changed
                || self.resources_list_changed,
            uris: self.resource_subscriptions.clone(),
        }
    }

    /// What is to be said after a time in which nobody listened: everything may have changed (digest trap 16).
    pub(crate) fn gap(&self) -> impl Iterator<Item = PeerNotice> {
        let lists = [
            (self.tools_list_changed, ItemKind::Tool),
            (self.prompts_list_changed, ItemKind::Prompt),
            (self.resources_list_changed, ItemKind::Resource),
        ];
        let lists = lists
            .into_iter()
            .filter(|(heard, _)| *heard)
            .map(|(_, kind)| PeerNotice::ListChanged(kind));
        let updates = self.resource_subscriptions.iter();
        lists.chain(updates.map(|uri| PeerNotice::ResourceUpdated {
            uri: uri.clone(),
            params: assemble([("uri", RawJson::string(uri))]),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    fn wanted() -> ListenFilter {
        let declared = json(
            r#"{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true,"listChanged":true}}"#,
        );
        let watch = Watch {
            lists: true,
            uris: ["a", "b"].map(str::to_owned).into(),
        };
        ListenFilter::wanted(&watch, &ServerCapabilities::parse(&declared))
    }

    #[test]
    fn what_a_backend_does_not_declare_is_not_asked_for() {
        assert_eq!(
            wanted().to_params().as_str(),
            r#"{"notifications":{"toolsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["a","b"]}}"#
        );
        let nothing = ServerCapabilities::parse(&json("{}"));
        let watch = wanted().to_watch();
        assert!(ListenFilter::wanted(&watch, &nothing).is_empty());
    }

    #[test]
    fn honoured_is_what_was_asked_for_and_acknowledged() {
        let acknowledgement = json(
            r#"{"notifications":{"promptsListChanged":true,"toolsListChanged":true,"resourceSubscriptions":["b","c"]}}"#,
        );
        let honoured = wanted().honoured(Some(&acknowledgement));
        let expected = [
            PeerNotice::ListChanged(ItemKind::Tool),
            PeerNotice::ResourceUpdated {
                uri: "b".to_owned(),
                params: json(r#"{"uri":"b"}"#),
            },
        ];
        assert_eq!(honoured.gap().collect::<Vec<_>>(), expected);
        assert!(wanted().honoured(None).is_empty());
        assert!(wanted().honoured(Some(&json("{}"))).is_empty());
    }
}
