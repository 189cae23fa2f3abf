use isthmus_exchange::Principal;
use isthmus_seal::SealKeys;
use proptest::prelude::*;

use super::*;
use crate::View;
use crate::fixture::{self, build, caller, tools};

/// Walks the list of tools to its end, changing from `before` to `after` behind the first `turn` pages.
fn walk(
    before: &crate::Catalog,
    after: &crate::Catalog,
    turn: usize,
    keys: &SealKeys,
) -> Vec<String> {
    let caller = caller();
    let view = View {
        caller: &caller,
        authorization: &isthmus_exchange::AllAllowed,
    };
    let mut names = Vec::new();
    let mut cursor: Option<String> = None;
    for page in 0.. {
        let catalog = if page < turn { before } else { after };
        let result = catalog
            .page(ItemKind::Tool, cursor.as_deref(), view, keys)
            .unwrap();
        let tools = object::elements(&object::member(&result, "tools").unwrap()).unwrap();
        let names_of_page = tools
            .iter()
            .map(|tool| object::string_member(tool, "name").unwrap());
        names.extend(names_of_page);
        cursor = object::string_member(&result, "nextCursor");
        if cursor.is_none() {
            break;
        }
    }
    names
}

fn catalog(page: usize, backends: &[(&str, &[String])]) -> crate::Catalog {
    let route = isthmus_config::Route {
        first_page: page,
        ..fixture::route()
    };
    let fixtures: Vec<_> = backends
        .iter()
        .map(|(name, keys)| tools(name, &keys.iter().map(String::as_str).collect::<Vec<_>>()))
        .collect();
    build(&route, &fixtures)
}

fn names() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::btree_set("[a-d]{1,3}", 0..12)
        .prop_map(|names| names.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

proptest! {
    #[test]
    fn a_walk_sees_every_item_once_whatever_the_page_size(
        first in names(),
        second in names(),
        page in 1_usize..8,
    ) {
        let catalog = catalog(page, &[("one", &first), ("two", &second)]);
        let mut expected = fixture::shown(&catalog, ItemKind::Tool);
        let mut seen = walk(&catalog, &catalog, 0, &SealKeys::generate());
        prop_assert_eq!(&seen, &expected);
        seen.sort();
        seen.dedup();
        expected.sort();
        prop_assert_eq!(seen.len(), first.len() + second.len());
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn a_walk_over_a_changing_catalog_sees_what_stays_exactly_once(
        before in names(),
        after in names(),
        page in 1_usize..6,
        turn in 0_usize..5,
    ) {
        let (old, new) = (catalog(page, &[("one", &before)]), catalog(page, &[("one", &after)]));
        let seen = walk(&old, &new, turn, &SealKeys::generate());
        for stays in before.iter().filter(|name| after.contains(name)) {
            let times = seen.iter().filter(|name| **name == format!("one__{stays}")).count();
            prop_assert_eq!(times, 1, "{} in {:?}", stays, seen);
        }
    }

    #[test]
    fn the_digest_changes_with_the_content_and_not_with_the_order(one in names(), other in names()) {
        let digest = |names: &[String]| catalog(100, &[("b", names)]).digest(ItemKind::Tool);
        let mut reversed = one.clone();
        reversed.reverse();
        prop_assert_eq!(digest(&one), digest(&reversed));
        let same = one.len() == other.len() && one.iter().all(|name| other.contains(name));
        prop_assert_eq!(digest(&one) == digest(&other), same);
    }
}

#[test]
fn a_list_that_fits_one_page_keeps_the_order_of_config_and_backends() {
    let own = ["zeta", "alpha", "mid"].map(str::to_owned);
    let listed = catalog(3, &[("z", &own), ("a", &[])]);
    assert_eq!(
        fixture::shown(&listed, ItemKind::Tool),
        ["z__zeta", "z__alpha", "z__mid"]
    );
    let paged = catalog(2, &[("z", &own), ("a", &[])]);
    assert_eq!(
        fixture::shown(&paged, ItemKind::Tool),
        ["z__alpha", "z__mid", "z__zeta"]
    );
}

#[test]
fn the_first_page_for_everyone_is_rendered_once() {
    let own = ["a", "b"].map(str::to_owned);
    let catalog = catalog(10, &[("x", &own)]);
    let caller = caller();
    let view = View {
        caller: &caller,
        authorization: &isthmus_exchange::AllAllowed,
    };
    let keys = SealKeys::generate();
    let [one, other] = [(), ()].map(|()| catalog.page(ItemKind::Tool, None, view, &keys).unwrap());
    assert_eq!(one.as_bytes().as_ptr(), other.as_bytes().as_ptr());
    assert_eq!(
        one.as_str(),
        r#"{"tools":[{"name":"x__a"},{"name":"x__b"}]}"#
    );
}

#[test]
fn a_page_is_bounded_in_bytes_but_never_empty() {
    let item = |key: &str| {
        let definition = fixture::json(&format!("{{\"name\":\"{key}\"}}"));
        Arc::new(Item {
            id: isthmus_exchange::ItemId::next(),
            kind: ItemKind::Tool,
            backend: fixture::name("x"),
            native: key.to_owned(),
            exposed: key.to_owned(),
            native_definition: definition.clone(),
            definition,
        })
    };
    let limit = PageLimit {
        items: 100,
        bytes: 30,
    };
    let items: Vec<_> = ["a", "b", "c", "a_name_of_more_than_thirty_bytes_for_sure"]
        .map(item)
        .into();
    let list = ItemList::new(ItemKind::Tool, items, limit);
    let first = list.first_page(Revision::LATEST);
    assert_eq!(first.result.as_str(), r#"{"tools":[{"name":"a"}]}"#);
    assert_eq!(first.more_behind.unwrap().exposed, "a");
    let second = list.page(Some("a"), |_| true, Revision::LATEST);
    assert_eq!(
        second.more_behind.unwrap().exposed,
        "a_name_of_more_than_thirty_bytes_for_sure"
    );
}

#[test]
fn a_cursor_of_somebody_else_is_refused() {
    let own: Vec<String> = (0..5).map(|number| format!("t{number}")).collect();
    let catalog = catalog(2, &[("x", &own)]);
    let keys = SealKeys::generate();
    let nobody = caller();
    let mut anna = caller();
    anna.principal = Principal::authenticated("key", "", "anna", "");
    let view = |caller| View {
        caller,
        authorization: &isthmus_exchange::AllAllowed,
    };
    let first = catalog
        .page(ItemKind::Tool, None, view(&anna), &keys)
        .unwrap();
    let cursor = object::string_member(&first, "nextCursor").unwrap();
    assert!(
        catalog
            .page(ItemKind::Tool, Some(&cursor), view(&anna), &keys)
            .is_ok()
    );
    assert!(
        catalog
            .page(ItemKind::Tool, Some(&cursor), view(&nobody), &keys)
            .is_err()
    );
    assert!(
        catalog
            .page(ItemKind::Prompt, Some(&cursor), view(&anna), &keys)
            .is_err()
    );
}
