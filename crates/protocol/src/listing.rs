//! One page of a list, as a backend answered it.

use crate::object;
use crate::result::{InvalidResult, SplitResult};
use crate::scan::Elements;
use crate::{RawJson, scan};

/// A page of tools, prompts, resources or templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// The items in the backend's order: key and whole definition.
    pub items: Vec<(String, RawJson)>,
    /// How many entries were left out because they are no objects or have no key.
    pub skipped: usize,
    /// Where the next page begins; the empty string is a cursor like any other.
    pub next_cursor: Option<String>,
    /// How long the page may be kept, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// Whether `cacheScope` says that the page is for anyone.
    pub cache_public: Option<bool>,
}

/// The result is no page of the list that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPage {
    /// Not an object.
    #[error(transparent)]
    Result(#[from] InvalidResult),
    /// The member with the items is missing, or is not an array.
    #[error("`{0}` must be an array")]
    Items(String),
}

/// Reads a page whose items stand in `member` and are known by `key_member` (`name`, `uri` or `uriTemplate`).
///
/// An entry without a key costs only itself.
///
/// # Errors
///
/// [`InvalidPage`] if there is no array of items.
pub fn parse_list_page(
    member: &str,
    key_member: &str,
    result: &RawJson,
) -> Result<ListPage, InvalidPage> {
    let split = SplitResult::parse(result)?;
    let mut page = ListPage {
        items: Vec::new(),
        skipped: 0,
        next_cursor: None,
        ttl_ms: split.ttl_ms,
        cache_public: split.cache_scope.map(|scope| scope == "public"),
    };
    let mut found = false;
    for (key, value) in object::members(&split.result).map_err(|_| InvalidResult)? {
        if key == member {
            found = page.read_items(key_member, &value);
        } else if key == "nextCursor" {
            page.next_cursor = scan::string(value.as_bytes()).map(std::borrow::Cow::into_owned);
        }
    }
    if found {
        Ok(page)
    } else {
        Err(InvalidPage::Items(member.to_owned()))
    }
}

impl ListPage {
    /// Replaces the items with those of an array; false if `array` is none.
    fn read_items(&mut self, key_member: &str, array: &RawJson) -> bool {
        self.items.clear();
        self.skipped = 0;
        let Some(mut elements) = Elements::of(array.as_bytes()) else {
            return false;
        };
        while let Ok(Some(range)) = elements.next() {
            // A copy of its own: a definition is kept long, and must not keep the whole page.
            let definition = RawJson::assembled(array.as_bytes()[range].to_vec());
            match object::string_member(&definition, key_member) {
                Some(key) => self.items.push((key, definition)),
                None => self.skipped += 1,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn a_page_has_its_items_as_text_and_its_hints() {
        let page = parse_list_page(
            "resources",
            "uri",
            &raw(
                r#"{"resultType":"complete","ttlMs":10,"cacheScope":"public","nextCursor":"",
                "resources":[{"uri":"a:1", "x":1.0}, 7, {"name":"no uri"}]}"#,
            ),
        )
        .unwrap();
        assert_eq!(
            page.items,
            [("a:1".to_owned(), raw(r#"{"uri":"a:1", "x":1.0}"#))]
        );
        assert_eq!(page.skipped, 2);
        assert_eq!(page.next_cursor.as_deref(), Some(""));
        assert_eq!((page.ttl_ms, page.cache_public), (Some(10), Some(true)));
    }

    #[test]
    fn an_old_page_has_no_hints() {
        let page =
            parse_list_page("tools", "name", &raw(r#"{"tools":[],"nextCursor":null}"#)).unwrap();
        assert_eq!(
            (page.next_cursor, page.ttl_ms, page.cache_public),
            (None, None, None)
        );
        assert!(page.items.is_empty());
    }

    #[test]
    fn what_is_no_page_is_refused() {
        assert!(parse_list_page("tools", "name", &raw("[]")).is_err());
        let error = parse_list_page("tools", "name", &raw(r#"{"tools":{}}"#)).unwrap_err();
        assert_eq!(error.to_string(), "`tools` must be an array");
    }
}
