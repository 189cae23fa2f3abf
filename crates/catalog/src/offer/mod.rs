//! What a route says of itself: the capabilities and instructions of all its backends in one.
//!
//! A capability is offered if any backend has it, since every request is routed by itself (digest §3.7). While a backend
//! is starting, everything it may bring is offered too: a stateful client hears our capabilities only once.
//! Instructions are an injection channel between the backends of different owners: each stands under its own heading and
//! is cut at a length.

use isthmus_exchange::{BackendName, PeerFacts};
use isthmus_protocol::{RawJson, ServerCapabilities, object, tasks};

use crate::apps;
use crate::tasks::TaskOffer;

/// One backend's say.
#[derive(Debug)]
pub(crate) struct Voice<'a> {
    pub(crate) backend: &'a BackendName,
    pub(crate) prefix: &'a str,
    /// What it said when it was last heard of.
    pub(crate) facts: Option<&'a PeerFacts>,
    /// It has not been heard of yet, but is starting.
    pub(crate) may_come: bool,
}

/// The result of `server/discover` without what belongs to the hop: `{capabilities, instructions?}`. `has_pages`: some
/// tool comes with the page of an MCP App.
pub(crate) fn offer(voices: &[Voice<'_>], has_pages: bool, tasks: TaskOffer) -> RawJson {
    let mut members = vec![("capabilities", capabilities(voices, has_pages, tasks))];
    if let Some(text) = instructions(voices) {
        members.push(("instructions", RawJson::from_serialize(&text)));
    }
    object::assemble(members)
}

fn capabilities(voices: &[Voice<'_>], has_pages: bool, tasks: TaskOffer) -> RawJson {
    let mut offered = Offered::default();
    for voice in voices {
        if let Some(facts) = voice.facts {
            offered = offered.or(Offered::of(&facts.capabilities));
        }
        if voice.may_come {
            offered = Offered::ALL;
        }
    }
    // We watch or poll every backend and announce what changed, so the flag is honest whatever a backend says.
    let yes = || RawJson::from_serialize(&true);
    let changes = |has: bool| has.then(|| vec![("listChanged", yes())]);
    let resources = changes(offered.resources).map(|mut flags| {
        if offered.subscribe {
            flags.push(("subscribe", yes()));
        }
        flags
    });
    let members = [
        ("tools", changes(offered.tools)),
        ("prompts", changes(offered.prompts)),
        ("resources", resources),
        ("completions", offered.completions.then(Vec::new)),
        ("logging", offered.logging.then(Vec::new)),
        ("extensions", extensions(voices, has_pages, tasks)),
    ];
    let present = members
        .into_iter()
        .filter_map(|(key, flags)| Some((key, object::assemble(flags?))));
    let core = tasks.core.map(|core| ("tasks", core.declaration()));
    object::assemble(present.chain(core))
}

/// The extensions that we know how to honour, with their settings (MS-24). Others are not offered: what their items
/// would need on the way is not known.
fn extensions(
    voices: &[Voice<'_>],
    has_pages: bool,
    tasks: TaskOffer,
) -> Option<Vec<(&'static str, RawJson)>> {
    let declared: Vec<_> = voices
        .iter()
        .filter_map(|voice| Some(ServerCapabilities::parse(&voice.facts?.capabilities)))
        .collect();
    let apps: Vec<_> = declared
        .iter()
        .filter_map(|capabilities| capabilities.extension(apps::EXTENSION))
        .collect();
    let may_come = voices.iter().any(|voice| voice.may_come);
    let offers_apps = has_pages || may_come || !apps.is_empty();
    let offered = [
        (
            apps::EXTENSION,
            offers_apps.then(|| apps::merged_settings(&apps)),
        ),
        (
            tasks::EXTENSION,
            tasks.extension.then(RawJson::empty_object),
        ),
    ];
    let present: Vec<_> = offered
        .into_iter()
        .filter_map(|(id, settings)| Some((id, settings?)))
        .collect();
    (!present.is_empty()).then_some(present)
}

#[derive(Debug, Clone, Copy, Default)]
struct Offered {
    tools: bool,
    prompts: bool,
    resources: bool,
    subscribe: bool,
    completions: bool,
    logging: bool,
}

impl Offered {
    const ALL: Self = Self {
        tools: true,
        prompts: true,
        resources: true,
        subscribe: true,
        completions: true,
        logging: true,
    };

    fn of(capabilities: &RawJson) -> Self {
        let declared = ServerCapabilities::parse(capabilities);
        Self {
            tools: declared.tools.is_some(),
            prompts: declared.prompts.is_some(),
            resources: declared.resources.is_some(),
            subscribe: declared.resources_subscribe,
            completions: declared.completions,
            logging: declared.logging,
        }
    }

    const fn or(self, other: Self) -> Self {
        Self {
            tools: self.tools || other.tools,
            prompts: self.prompts || other.prompts,
            resources: self.resources || other.resources,
            subscribe: self.subscribe || other.subscribe,
            completions: self.completions || other.completions,
            logging: self.logging || other.logging,
        }
    }
}

fn instructions(voices: &[Voice<'_>]) -> Option<String> {
    let said = |voice: &Voice<'_>| voice.facts.and_then(|facts| facts.instructions.clone());
    if let [alone] = voices {
        return said(alone).map(|text| cut(&text, LONGEST));
    }
    let mut merged = String::new();
    for voice in voices {
        let Some(text) = said(voice).filter(|text| !text.trim().is_empty()) else {
            continue;
        };
        if !merged.is_empty() {
            merged.push_str("\n\n");
        }
        merged.push_str(&format!("# {}", voice.backend));
        if !voice.prefix.is_empty() {
            merged.push_str(&format!(" (names begin with `{}__`)", voice.prefix));
        }
        merged.push_str("\n\n");
        merged.push_str(&cut(text.trim(), LONGEST_PART));
    }
    (!merged.is_empty()).then(|| cut(&merged, LONGEST))
}

/// At most `longest` bytes of `text`.
fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let mut end = longest.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// Bytes of one backend's instructions among others.
const LONGEST_PART: usize = 8 << 10;
/// Bytes of all instructions.
const LONGEST: usize = 64 << 10;

#[cfg(test)]
mod tests;
