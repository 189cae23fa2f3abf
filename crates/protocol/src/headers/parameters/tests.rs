use proptest::prelude::*;

use super::*;

fn raw(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}

fn tool(schema: &str) -> Result<HeaderParameters, InvalidHeaderParameter> {
    HeaderParameters::from_tool(&raw(&format!(r#"{{"name":"t","inputSchema":{schema}}}"#)))
}

const SCHEMA: &str = r#"{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "count":{"type":"integer","x-mcp-header":"Count"},
    "options":{"type":"object","properties":{"dry":{"type":"boolean","x-mcp-header":"Dry-Run"}}}}}"#;

fn written(arguments: &str) -> Vec<(String, String)> {
    let headers = tool(SCHEMA).unwrap().write(Some(&raw(arguments)));
    let text = |(name, value): (HeaderName, HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    let mut headers: Vec<_> = headers.into_iter().map(text).collect();
    headers.sort();
    headers
}

#[test]
fn annotated_arguments_are_mirrored() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        written(r#"{"region":"us\u002dwest","count":42.0,"options":{"dry":true},"other":1}"#),
        [
            pair("mcp-param-count", "42"),
            pair("mcp-param-dry-run", "true"),
            pair("mcp-param-region", "us-west"),
        ]
    );
    assert_eq!(written(r#"{"region":null,"options":{}}"#), []);
    assert_eq!(written(r#"{"region":7,"count":"x","options":[]}"#), []);
    assert_eq!(
        written(r#"{"region":"é"}"#),
        [pair("mcp-param-region", "=?base64?w6k=?=")]
    );
    assert_eq!(tool(SCHEMA).unwrap().write(None), []);
}

#[test]
fn headers_are_checked_against_the_arguments() {
    let check = |headers: &[(&str, &str)], arguments: &str| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::try_from(*value).unwrap(),
            );
        }
        tool(SCHEMA)
            .unwrap()
            .check(&map, Some(&raw(arguments)))
            .map_err(|mismatch| mismatch.to_string())
    };
    assert_eq!(check(&[], "{}"), Ok(()));
    assert_eq!(check(&[("Mcp-Param-Unknown", "x")], "{}"), Ok(()));
    assert_eq!(
        check(&[("Mcp-Param-Region", "")], r#"{"region":""}"#),
        Ok(())
    );
    assert_eq!(
        check(
            &[("MCP-PARAM-REGION", "=?base64?w6k=?=")],
            r#"{"region":"é"}"#
        ),
        Ok(())
    );
    for count in ["42", "42.0", "4.2e1"] {
        assert_eq!(
            check(&[("mcp-param-count", count)], r#"{"count":42}"#),
            Ok(())
        );
        assert_eq!(
            check(
                &[("mcp-param-count", "42")],
                &format!(r#"{{"count":{count}}}"#)
            ),
            Ok(())
        );
    }
    let large = r#"{"count":9007199254740993}"#;
    assert!(check(&[("mcp-param-count", "9007199254740993")], large).is_ok());
    assert!(check(&[("mcp-param-count", "9007199254740992")], large).is_err());
    let error = |headers: &[(&str, &str)], arguments: &str| check(headers, arguments).unwrap_err();
    assert_eq!(
        error(&[], r#"{"region":"a"}"#),
        "header `mcp-param-region` is missing"
    );
    assert!(error(&[("mcp-param-region", "a")], r#"{"region":null}"#).contains("no argument"));
    for wrong in ["b", "A", "=?base64?*?="] {
        assert!(error(&[("mcp-param-region", wrong)], r#"{"region":"a"}"#).contains("differs"));
    }
    assert!(error(&[("mcp-param-count", "43")], r#"{"count":42}"#).contains("differs"));
    assert!(
        error(
            &[("mcp-param-dry-run", "True")],
            r#"{"options":{"dry":true}}"#
        )
        .contains("differs")
    );
    let twice = [("mcp-param-region", "a"), ("mcp-param-region", "a")];
    assert!(error(&twice, r#"{"region":"a"}"#).contains("differs"));
}

#[test]
fn annotations_that_break_the_rules_make_the_tool_invalid() {
    use InvalidHeaderParameter as Invalid;
    let property = |property: &str| {
        tool(&format!(
            r#"{{"type":"object","properties":{{"p":{property}}}}}"#
        ))
    };
    assert_eq!(
        property(r#"{"type":"string","x-mcp-header":""}"#),
        Err(Invalid::Name("\"\"".to_owned()))
    );
    assert_eq!(
        property(r#"{"type":"string","x-mcp-header":"a b"}"#),
        Err(Invalid::Name("\"a b\"".to_owned()))
    );
    assert_eq!(
        property(r#"{"type":"string","x-mcp-header":7}"#),
        Err(Invalid::Name("7".to_owned()))
    );
    assert_eq!(
        property(r#"{"type":"array","x-mcp-header":"A"}"#),
        Err(Invalid::Type("A".to_owned()))
    );
    assert_eq!(
        property(r#"{"x-mcp-header":"A"}"#),
        Err(Invalid::Type("A".to_owned()))
    );
    // A fraction has more than one text.
    assert_eq!(
        property(r#"{"type":"number","x-mcp-header":"A"}"#),
        Err(Invalid::Type("A".to_owned()))
    );
    let items = r#"{"type":"array","items":{"type":"string","x-mcp-header":"A"}}"#;
    assert_eq!(property(items), Err(Invalid::Unreachable));
    for schema in [
        r#"{"type":"object","x-mcp-header":"A"}"#,
        r#"{"anyOf":[{"properties":{"p":{"type":"string","x-mcp-header":"A"}}}]}"#,
        r#"{"$defs":{"d":{"type":"string","x-mcp-header":"A"}}}"#,
        r#"{"additionalProperties":{"type":"string","x\u002dmcp-header":"A"}}"#,
    ] {
        assert_eq!(tool(schema), Err(Invalid::Unreachable), "{schema}");
    }
    let twice = r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#;
    assert_eq!(tool(twice), Err(Invalid::Twice("a".to_owned())));
}

#[test]
fn what_only_looks_like_an_annotation_is_none() {
    for schema in [
        r#"{"type":"object","properties":{"x-mcp-header":{"type":"string"}}}"#,
        r#"{"type":"object","description":"x-mcp-header"}"#,
        r#"{"type":"object","default":{"x-mcp-header":"A"}}"#,
        r#"{"items":{"properties":{"x-mcp-header":{}}}}"#,
        "true",
    ] {
        assert!(tool(schema).unwrap().is_empty(), "{schema}");
    }
    assert!(
        HeaderParameters::from_tool(&raw(r#"{"name":"x-mcp-header"}"#))
            .unwrap()
            .is_empty()
    );
}

proptest! {
    #[test]
    fn what_is_written_passes_the_check(region in any::<String>(), count in any::<i32>(), dry in any::<bool>()) {
        let region = RawJson::string(&region);
        let arguments = raw(&format!(r#"{{"region":{region},"count":{count},"options":{{"dry":{dry}}}}}"#));
        let parameters = tool(SCHEMA).unwrap();
        let headers: HeaderMap = parameters.write(Some(&arguments)).into_iter().collect();
        prop_assert_eq!(headers.len(), 3);
        prop_assert_eq!(parameters.check(&headers, Some(&arguments)), Ok(()));
    }
}
