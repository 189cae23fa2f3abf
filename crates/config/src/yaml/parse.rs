//! From text to tree.
//!
//! Built on the events of serde-saphyr's parser rather than on its deserializer, which stops at the first mistake.
//! Everything is bounded: size of the text, depth, and nodes (an alias counts as all it repeats).

use std::collections::HashMap;

use serde_yaml::granit_parser::{
    Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput, options,
};

use super::node::{Content, Entry, Node, Scalar, Style, join};
use crate::diagnostics::{Complaints, Mark};

/// Reads one document. `None` if it cannot be read at all; an empty document is an empty mapping.
///
/// Complains about syntax, duplicate keys, tags, keys that are no text and more than one document.
pub(crate) fn parse(text: &str, complaints: &mut Complaints) -> Option<Node> {
    if text.len() > MAX_BYTES {
        let start = Mark { line: 1, column: 1 };
        complaints.add(
            start,
            "",
            format!("a config of more than {MAX_BYTES} bytes"),
        );
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(text, parser_options()),
        complaints,
        anchors: HashMap::new(),
        weight: 0,
        depth: 0,
    };
    match reader.document() {
        Ok(node) => Some(node),
        Err(Stop { mark, message }) => {
            complaints.add(mark, "", message);
            None
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    complaints: &'a mut Complaints,
    /// Finished nodes by the parser's number for their anchor, with their weights.
    anchors: HashMap<usize, (Node, usize)>,
    /// Values so far, and a part for the length of texts, so that repeating a long one is counted too.
    weight: usize,
    depth: usize,
}

/// Reading cannot go on.
struct Stop {
    mark: Mark,
    message: String,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    self.complaints
                        .add(mark(&span), "", "a second document: a config is one");
                    break;
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, &span, "")?),
            }
        }
        let start = Mark { line: 1, column: 1 };
        let empty = || Node {
            mark: start,
            content: Content::Mapping(Vec::new()),
        };
        Ok(match root {
            Some(Node {
                content: Content::Null,
                ..
            })
            | None => empty(),
            Some(node) => node,
        })
    }

    /// The next event that is not a comment.
    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        loop {
            match self.events.next_event() {
                Some(Ok((Event::Anchor(..), _))) => {}
                Some(Ok(found)) => return Ok(found),
                Some(Err(error)) => return Err(syntax(&error)),
                None => {
                    return Err(Stop {
                        mark: Mark { line: 1, column: 1 },
                        message: "the text ends too early".to_owned(),
                    });
                }
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, path: &str) -> Result<Node, Stop> {
        let before = self.weight;
        let length = event.scalar().map_or(0, |(text, _)| text.len());
        self.count(1 + length / 32, span)?;
        let mark = mark(span);
        let anchor = event.anchor_id();
        if event.tag().is_some() {
            self.complaints
                .add(mark, path, "tags (`!…`) have no meaning in a config");
        }
        let content = match event {
            Event::Scalar(text, style, ..) => scalar(text.into_owned(), style),
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                self.depth += 1;
                let content = match event {
                    Event::SequenceStart(..) => self.sequence(path)?,
                    _ => self.mapping(path)?,
                };
                self.depth -= 1;
                content
            }
            Event::Alias(id) => return self.alias(id, span),
            _ => {
                return Err(Stop {
                    mark,
                    message: "a value was expected here".to_owned(),
                });
            }
        };
        let node = Node { mark, content };
        if let Some(id) = anchor {
            self.anchors
                .insert(id, (node.clone(), self.weight - before));
        }
        Ok(node)
    }

    fn count(&mut self, weight: usize, span: &Span) -> Result<(), Stop> {
        self.weight += weight;
        if self.weight <= MAX_WEIGHT {
            return Ok(());
        }
        Err(Stop {
            mark: mark(span),
            message: format!("more than {MAX_WEIGHT} values, repetitions by `*` included"),
        })
    }

    fn alias(&mut self, id: usize, span: &Span) -> Result<Node, Stop> {
        let stop = |message: &str| Stop {
            mark: mark(span),
            message: message.to_owned(),
        };
        let Some((_, weight)) = self.anchors.get(&id) else {
            return Err(stop("a value cannot contain itself"));
        };
        self.count(*weight, span)?;
        let Some((node, _)) = self.anchors.get(&id) else {
            return Err(stop("a value cannot contain itself"));
        };
        if self.depth + height(node) > MAX_DEPTH {
            return Err(stop("nested too deep, repetitions by `*` included"));
        }
        Ok(node.clone())
    }

    fn sequence(&mut self, path: &str) -> Result<Content, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Content::Sequence(items));
            }
            let path = super::at(path, items.len());
            items.push(self.node(event, &span, &path)?);
        }
    }

    fn mapping(&mut self, path: &str) -> Result<Content, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Mark> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let key_mark = mark(&span);
            let is_merge = matches!(event.scalar(), Some(("<<", ScalarStyle::Plain)));
            let key = self.node(event, &span, path)?;
            let key = match key.content {
                Content::Scalar(scalar) => Some(scalar.text),
                _ => {
                    self.complaints
                        .add(key_mark, path, "a key is a text, nothing else");
                    None
                }
            };
            let value_path = join(path, key.as_deref().unwrap_or("?"));
            let (event, span) = self.next()?;
            let value = self.node(event, &span, &value_path)?;
            let Some(key) = key else { continue };
            if is_merge {
                self.merge(value, &mut merged, path);
            } else if let Some(first) = seen.get(&key) {
                let message = format!("this key is already set in line {}", first.line);
                self.complaints.add(key_mark, value_path, message);
            } else {
                seen.insert(key.clone(), key_mark);
                entries.push(Entry {
                    key,
                    key_mark,
                    value,
                });
            }
        }
        for entry in merged {
            if seen.insert(entry.key.clone(), entry.key_mark).is_none() {
                entries.push(entry);
            }
        }
        Ok(Content::Mapping(entries))
    }

    /// Takes what `<<` brings: a mapping, or several of which the first wins.
    fn merge(&mut self, value: Node, merged: &mut Vec<Entry>, path: &str) {
        match value.content {
            Content::Mapping(entries) => merged.extend(entries),
            Content::Sequence(nodes)
                if nodes
                    .iter()
                    .all(|node| matches!(node.content, Content::Mapping(_))) =>
            {
                for node in nodes {
                    self.merge(node, merged, path);
                }
            }
            _ => {
                let message = "`<<` takes a mapping or a list of mappings";
                self.complaints.add(value.mark, path, message);
            }
        }
    }
}

/// How deep a node is. It is never deeper than [`MAX_DEPTH`].
fn height(node: &Node) -> usize {
    let below = match &node.content {
        Content::Sequence(nodes) => nodes.iter().map(height).max(),
        Content::Mapping(entries) => entries.iter().map(|entry| height(&entry.value)).max(),
        _ => return 0,
    };
    1 + below.unwrap_or(0)
}

fn scalar(text: String, style: ScalarStyle) -> Content {
    let style = match style {
        ScalarStyle::Plain => {
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") {
                return Content::Null;
            }
            Style::Plain
        }
        ScalarStyle::SingleQuoted => Style::Literal,
        _ => Style::Quoted,
    };
    Content::Scalar(Scalar { text, style })
}

fn mark(span: &Span) -> Mark {
    Mark {
        line: u32::try_from(span.start.line()).unwrap_or(u32::MAX),
        column: u32::try_from(span.start.col().saturating_add(1)).unwrap_or(u32::MAX),
    }
}

fn syntax(error: &ScanError) -> Stop {
    Stop {
        mark: Mark {
            line: u32::try_from(error.marker().line()).unwrap_or(u32::MAX),
            column: u32::try_from(error.marker().col().saturating_add(1)).unwrap_or(u32::MAX),
        },
        message: format!("not YAML: {}", error.info()),
    }
}

fn parser_options() -> Options {
    let mut options = options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        disallow_directives: true,
    };
    options.set_emit_comments(false);
    options
}

/// Far more than a config of thousands of backends needs.
const MAX_BYTES: usize = 4 << 20;
const MAX_WEIGHT: usize = 200_000;
const MAX_DEPTH: usize = 32;
