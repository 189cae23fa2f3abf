//! The one place that knows where URIs stand (digest §3.7).
//!
//! What several backends offer is told apart by names and URIs, so lists, reads, links in results, prompts and app
//! metadata must be rewritten alike. Never looked at are free text, `structuredContent`, blobs and icons: those are
//! other people's words. A value in which nothing changes keeps its buffer, and most are dismissed after a search for a
//! few bytes.

use std::ops::Range;

use crate::object::Splice;
use crate::scan::{self, Elements, Members};
use crate::{Method, RawJson};

/// Where a URI stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UriPlace {
    /// `contents[].uri` of a read.
    Contents,
    /// A `resource_link` in a tool result, prompt or sampling message.
    Link,
    /// An embedded `resource` in one of these.
    Embedded,
    /// The app that belongs to a tool: `_meta.ui.resourceUri` and its other spellings.
    App,
}

/// Says what a URI becomes; `None` leaves it as it is.
pub type UriMap<'m> = &'m dyn Fn(UriPlace, &str) -> Option<String>;

/// Rewrites the URIs of a result: of `resources/read`, `tools/call`, `prompts/get` and of a finished task; also the
/// messages in the parameters of `sampling/createMessage`. Results of other methods hold none and stay as they are.
#[must_use]
pub fn rewrite_result(method: &Method, result: &RawJson, map: UriMap<'_>) -> RawJson {
    let reads = matches!(
        method,
        Method::ResourcesRead
            | Method::ToolsCall
            | Method::TasksResult
            | Method::TasksGet
            | Method::PromptsGet
            | Method::SamplingCreateMessage
    );
    if !reads || !may_have_key(result.as_bytes(), b"\"uri\"") {
        return result.clone();
    }
    let mut visit = Visit {
        text: result.as_bytes(),
        splice: Splice::new(result.bytes()),
        map,
    };
    match method {
        Method::ResourcesRead => visit.contents(0),
        Method::ToolsCall | Method::TasksResult => visit.tool_result(0),
        Method::TasksGet => {
            if let [Some(inner)] = places(visit.text, 0, ["result"]) {
                visit.tool_result(inner.start);
            }
        }
        _ => visit.messages(0),
    }
    visit.splice.finish()
}

/// Gives a definition of a list (`member` names which: `tools`, `prompts`, …) the key that our clients know it by, and
/// rewrites the app that a tool points at.
#[must_use]
pub fn rewrite_definition(
    member: &str,
    definition: &RawJson,
    key_member: &str,
    new_key: &str,
    map: UriMap<'_>,
) -> RawJson {
    let mut visit = Visit {
        text: definition.as_bytes(),
        splice: Splice::new(definition.bytes()),
        map,
    };
    let [key, meta] = places(visit.text, 0, [key_member, "_meta"]);
    let mut steps = [key.map(|key| (key, true)), meta.map(|meta| (meta, false))];
    // The text is spliced from front to back, and either member may come first.
    steps.sort_by_key(|step| step.as_ref().map(|(range, _)| range.start));
    for (range, is_key) in steps.into_iter().flatten() {
        if is_key {
            if scan::string(&visit.text[range.clone()]).is_none_or(|key| key != new_key) {
                visit
                    .splice
                    .replace(range, RawJson::string(new_key).bytes().clone());
            }
        } else if member == "tools" {
            visit.app_links(range.start);
        }
    }
    visit.splice.finish()
}

/// Takes the `domain` out of `_meta.ui`: its value is computed by a server for its own URL and names the wrong one
/// behind a gateway (digest §3.7, Apps). For a resource's definition, or the result of a read.
#[must_use]
pub fn drop_app_domain(value: &RawJson) -> RawJson {
    use crate::object::{ObjectEdit, assemble_array, edit_member, elements, member};
    if !may_have_key(value.as_bytes(), b"\"domain\"") {
        return value.clone();
    }
    let dropped =
        |owner: &RawJson| match member(owner, "_meta").and_then(|meta| member(&meta, "ui")) {
            Some(ui) => {
                let ui = ObjectEdit::new(&ui).remove("domain").finish();
                edit_member(owner, "_meta", |meta| meta.set("ui", ui))
            }
            None => owner.clone(),
        };
    match member(value, "contents").and_then(|contents| elements(&contents)) {
        Some(contents) => {
            let changed: Vec<RawJson> = contents.iter().map(dropped).collect();
            if changed == contents {
                return value.clone();
            }
            ObjectEdit::new(value)
                .set("contents", assemble_array(&changed))
                .finish()
        }
        None => dropped(value),
    }
}

struct Visit<'v> {
    text: &'v [u8],
    splice: Splice<'v>,
    map: UriMap<'v>,
}

impl Visit<'_> {
    /// `resources/read`: every entry of `contents` has a URI of its own.
    fn contents(&mut self, start: usize) {
        let [contents] = places(self.text, start, ["contents"]);
        self.each(contents, |visit, entry| {
            let [uri] = places(visit.text, entry.start, ["uri"]);
            visit.uri(UriPlace::Contents, uri);
        });
    }

    fn tool_result(&mut self, start: usize) {
        let [content] = places(self.text, start, ["content"]);
        self.each(content, |visit, block| visit.block(block));
    }

    /// The content of a message is one block, or an array of blocks.
    fn messages(&mut self, start: usize) {
        let [messages] = places(self.text, start, ["messages"]);
        self.each(messages, |visit, message| {
            let [Some(content)] = places(visit.text, message.start, ["content"]) else {
                return;
            };
            if visit.text[content.start] == b'[' {
                visit.each(Some(content), |visit, block| visit.block(block));
            } else {
                visit.block(content);
            }
        });
    }

    /// A content block. Blocks of a tool result in a sampling message nest; the depth of the text bounds them.
    fn block(&mut self, block: Range<usize>) {
        let [kind, uri, resource, content] = places(
            self.text,
            block.start,
            ["type", "uri", "resource", "content"],
        );
        match kind
            .and_then(|kind| scan::string(&self.text[kind]))
            .as_deref()
        {
            Some("resource_link") => self.uri(UriPlace::Link, uri),
            Some("resource") => {
                let [uri] = resource.map_or([None], |resource| {
                    places(self.text, resource.start, ["uri"])
                });
                self.uri(UriPlace::Embedded, uri);
            }
            Some("tool_result") => self.each(content, |visit, block| visit.block(block)),
            _ => {}
        }
    }

    /// The app of a tool: `ui.resourceUri`, its deprecated flat twin, and the key that came before both.
    fn app_links(&mut self, start: usize) {
        let [ui, twin, template] = places(
            self.text,
            start,
            ["ui", "ui/resourceUri", "openai/outputTemplate"],
        );
        let [nested] = ui.map_or([None], |ui| places(self.text, ui.start, ["resourceUri"]));
        let mut links = [nested, twin, template];
        links.sort_by_key(|link| link.as_ref().map(|link| link.start));
        for link in links {
            self.uri(UriPlace::App, link);
        }
    }

    fn each(
        &mut self,
        array: Option<Range<usize>>,
        mut visit: impl FnMut(&mut Self, Range<usize>),
    ) {
        let Some(array) = array else {
            return;
        };
        let mut elements = Elements::at(self.text, array.start);
        while let Some(Ok(Some(element))) = elements.as_mut().map(Elements::next) {
            visit(self, element);
        }
    }

    fn uri(&mut self, place: UriPlace, value: Option<Range<usize>>) {
        let Some(value) = value else {
            return;
        };
        if let Some(uri) = scan::string(&self.text[value.clone()])
            && let Some(new) = (self.map)(place, &uri)
            && new != uri
        {
            self.splice
                .replace(value, RawJson::string(&new).bytes().clone());
        }
    }
}

/// Where the members `names` of the object at `start` stand, the last of each; none if no object stands there.
pub(crate) fn places<const N: usize>(
    text: &[u8],
    start: usize,
    names: [&str; N],
) -> [Option<Range<usize>>; N] {
    let mut found = [const { None }; N];
    let mut members = Members::at(text, start);
    while let Some(Ok(Some(member))) = members.as_mut().map(Members::next) {
        let key = member.key();
        if let Some(index) = names.iter().position(|name| *name == key) {
            found[index] = Some(member.value);
        }
    }
    found
}

/// Whether `text` may have the quoted key: it stands there, or a letter does that is written as an escape.
pub(crate) fn may_have_key(text: &[u8], quoted: &[u8]) -> bool {
    let escaped_letter = |at: usize| matches!(text.get(at + 4), Some(b'4'..=b'7'));
    memchr::memmem::find(text, quoted).is_some()
        || memchr::memmem::find_iter(text, b"\\u00").any(escaped_letter)
}

#[cfg(test)]
mod tests;
