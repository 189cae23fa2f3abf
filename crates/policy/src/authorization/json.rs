//! JSON as values of the expression language.
//!
//! A number without a fraction is an int, a larger one a uint; numbers compare by value whatever they are.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;
use isthmus_protocol::RawJson;
use serde_json::{Number, Value};

/// A value of the expression language.
pub(super) type Boxed = Box<dyn Val>;

/// An object as a map; `None` if it is no object.
pub(super) fn object(text: &RawJson) -> Option<Boxed> {
    match serde_json::from_str(text.as_str()).ok()? {
        Value::Object(members) => Some(value(Value::Object(members))),
        _ => None,
    }
}

/// Any JSON.
pub(super) fn value(json: Value) -> Boxed {
    match json {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(value)),
        Value::Number(value) => number(&value),
        Value::String(text) => Box::new(CelString::from(text)),
        Value::Array(elements) => {
            let elements: Vec<Boxed> = elements.into_iter().map(value).collect();
            Box::new(CelList::from(elements))
        }
        Value::Object(members) => {
            let members = members
                .into_iter()
                .map(|(key, member)| (key, value(member)));
            map(members)
        }
    }
}

/// A map by text.
pub(super) fn map<'k, K: Into<CelMapKey<'k>>>(
    members: impl IntoIterator<Item = (K, Boxed)>,
) -> Boxed
where
    'k: 'static,
{
    let members = members
        .into_iter()
        .map(|(key, member)| (key.into(), member));
    Box::new(CelMap::from(members.collect::<HashMap<_, _>>()))
}

/// A text.
pub(super) fn text(text: &str) -> Boxed {
    Box::new(CelString::from(text.to_owned()))
}

fn number(number: &Number) -> Boxed {
    if let Some(int) = number.as_i64() {
        Box::new(CelInt::from(int))
    } else if let Some(uint) = number.as_u64() {
        Box::new(CelUInt::from(uint))
    } else {
        Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN)))
    }
}
