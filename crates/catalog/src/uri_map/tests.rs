use super::*;

/// Two backends, `a` before `b`, and what they list.
fn map(
    listed: &[(Position, &str)],
    templates: &[(Position, &str)],
    links: &[(Position, &str)],
) -> UriMap {
    let mut map = UriMap::default();
    for name in ["a", "b"] {
        map.add_backend(BackendName::parse(name).unwrap(), false);
    }
    for (backend, uri) in listed {
        map.list(*backend, uri);
    }
    for (backend, template) in templates {
        map.list_template(*backend, template);
    }
    for (backend, uri) in links {
        map.link(*backend, uri);
    }
    map.seal();
    map
}

#[test]
fn a_uri_goes_to_who_lists_it_then_to_the_most_specific_template_then_to_who_links_to_it() {
    let map = map(
        &[(1, "x:/listed"), (0, "both:"), (1, "both:")],
        &[
            (0, "{+any}"),
            (1, "x:/{path}"),
            (0, "x:/deep/{path}"),
            (1, "x:/deep/{other}"),
        ],
        &[(1, "ui://page"), (0, "ui://app"), (1, "ui://app")],
    );
    let check = |uri: &str, expected: (Position, &str)| {
        assert_eq!(
            map.owner(uri),
            Some((expected.0, expected.1.into())),
            "{uri}"
        );
    };
    check("x:/listed", (1, "x:/listed"));
    check("both:", (0, "both:"));
    check("b+both:", (1, "both:"));
    check("a+both:", (0, "both:"));
    check("x:/one", (1, "x:/one"));
    check("x:/deep/one", (0, "x:/deep/one"));
    check("b+x:/deep/one", (1, "x:/deep/one"));
    check("elsewhere:", (0, "elsewhere:"));
    check("b+elsewhere:", (1, "elsewhere:"));
    check("ui://b/app", (1, "ui://app"));
    // A template that claims everything does not take an app's page away from whoever names it.
    check("ui://page", (1, "ui://page"));
    check("ui://app", (0, "ui://app"));
    check("ui://other", (0, "ui://other"));
    assert_eq!(
        map.form(1, "ui://app"),
        UriForm::Prefixed("ui://b/app".to_owned())
    );
}

#[test]
fn a_uri_that_nobody_knows_leads_nowhere_unless_it_names_its_backend() {
    let map = map(&[], &[(0, "x:/{path}")], &[(1, "ui://app")]);
    assert_eq!(map.owner("y:/one"), None);
    assert_eq!(map.owner("c+y:/one"), None);
    assert_eq!(map.owner("b+y:/one"), Some((1, "y:/one".into())));
    assert_eq!(map.owner("ui://app"), Some((1, "ui://app".into())));
}

#[test]
fn a_backend_that_is_alone_owns_everything() {
    let mut map = UriMap::default();
    map.add_backend(BackendName::parse("git").unwrap(), false);
    map.list(0, "x:/listed");
    assert_eq!(
        map.owner("git+https://h/p"),
        Some((0, "git+https://h/p".into()))
    );
    assert_eq!(map.owner("git+x:/listed"), Some((0, "x:/listed".into())));
    assert_eq!(map.form(0, "git+https://h/p"), UriForm::Raw);
    assert!(map.is_identity());
}

#[test]
fn a_backend_with_prefixed_uris_leaves_the_raw_form_to_others() {
    let mut map = UriMap::default();
    map.add_backend(BackendName::parse("a").unwrap(), true);
    map.add_backend(BackendName::parse("b").unwrap(), false);
    for backend in [0, 1] {
        map.list(backend, "x:");
    }
    map.list(0, "y:");
    map.seal();
    assert_eq!(map.form(0, "x:"), UriForm::Prefixed("a+x:".to_owned()));
    assert_eq!(map.form(1, "x:"), UriForm::Raw);
    assert_eq!(map.owner("x:"), Some((1, "x:".into())));
    // Models and apps write raw URIs all the same.
    assert_eq!(map.owner("y:"), Some((0, "y:".into())));
    assert!(!map.is_identity());
}

#[test]
fn a_template_keeps_its_text_for_the_first_backend_and_is_prefixed_for_the_second() {
    let map = map(&[], &[(0, "x:{p}"), (1, "x:{p}"), (1, "ui://{p}")], &[]);
    assert_eq!(map.template_form(0, "x:{p}"), UriForm::Raw);
    assert_eq!(
        map.template_form(1, "x:{p}"),
        UriForm::Prefixed("b+x:{p}".to_owned())
    );
    assert_eq!(map.template_owner("b+x:{p}"), Some((1, "x:{p}".into())));
    assert_eq!(
        map.template_owner("ui://b/{p}"),
        Some((1, "ui://{p}".into()))
    );
    assert_eq!(map.template_owner("y:{p}"), None);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn uri() -> impl Strategy<Value = String> {
        prop_oneof![
            "[xy]:/[ab]{0,2}",
            "ui://[ab]/?[xy]{0,2}",
            "(a\\+|b\\+)[xy]:/[ab]{0,2}",
        ]
    }

    fn owned() -> impl Strategy<Value = Vec<(Position, String)>> {
        proptest::collection::vec((0_usize..2, uri()), 0..8)
    }

    proptest! {
        #[test]
        fn what_is_handed_out_leads_back(
            mut listed in owned(),
            mut links in owned(),
            prefixed in any::<bool>(),
            greedy in any::<bool>(),
            backend in 0_usize..2,
            native in uri(),
        ) {
            listed.sort();
            links.sort();
            let mut map = UriMap::default();
            map.add_backend(BackendName::parse("a").unwrap(), prefixed);
            map.add_backend(BackendName::parse("b").unwrap(), false);
            listed.iter().for_each(|(backend, uri)| { map.list(*backend, uri); });
            if greedy {
                map.list_template(0, "{+any}");
            }
            map.list_template(1, "x:/{path}");
            links.iter().for_each(|(backend, uri)| map.link(*backend, uri));
            map.seal();
            let exposed = match map.form(backend, &native) {
                UriForm::Raw => native.clone(),
                UriForm::Prefixed(uri) => uri,
                UriForm::RawIfRemembered => {
                    prop_assert_eq!(map.owner(&native), None);
                    return Ok(());
                }
            };
            // The one exception: another backend lists the very text of the prefixed form. The catalog hides such an
            // item loudly.
            if !map.listed.contains_key(&exposed) || exposed == native {
                prop_assert_eq!(map.owner(&exposed), Some((backend, native.into())));
            }
        }
    }
}
