//! Tool parameters that a caller mirrors into `Mcp-Param-…` headers, so that what stands between can route by them.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::{decode_value, encode_value, schema};
use crate::{RawJson, object, scan};

/// The annotated parameters of one tool; most tools have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderParameters {
    parameters: Vec<Parameter>,
}

/// One annotated parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) header: HeaderName,
    /// Property names from the root of the arguments.
    pub(super) path: Vec<String>,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Boolean,
    Number,
}

/// The tool's annotations break the rules: an HTTP client must leave the tool out (MC-2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeaderParameter {
    /// The schema cannot be read: not JSON that we are ready to walk.
    #[error("its input schema cannot be read")]
    Schema,
    /// The annotation is not a header token.
    #[error("`x-mcp-header` is not a header name: {0}")]
    Name(String),
    /// The property is not a string, integer or boolean.
    #[error("`x-mcp-header` `{0}` stands at a property that is no string, integer or boolean")]
    Type(String),
    /// Two properties have the same annotation, upper and lower case being the same.
    #[error("`x-mcp-header` `{0}` stands at two properties")]
    Twice(String),
    /// An annotation stands where it is not reached through `properties` alone.
    #[error("`x-mcp-header` stands at something other than a property")]
    Unreachable,
}

/// A header and the argument it mirrors disagree: -32020 (MS-3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The argument is there, the header is not.
    #[error("header `{0}` is missing")]
    Missing(HeaderName),
    /// The header is there, the argument is not.
    #[error("header `{0}` has no argument that it could mirror")]
    Unexpected(HeaderName),
    /// Both are there and differ, or the header cannot be decoded or occurs twice.
    #[error("header `{0}` differs from the argument that it mirrors")]
    Different(HeaderName),
}

impl HeaderParameters {
    /// Reads the annotations of a tool's definition.
    ///
    /// # Errors
    ///
    /// [`InvalidHeaderParameter`] if an annotation breaks the rules, which makes the whole tool invalid.
    pub fn from_tool(definition: &RawJson) -> Result<Self, InvalidHeaderParameter> {
        let text = definition.as_bytes();
        // Nearly every tool ends here; an escape could spell the keyword otherwise.
        if memchr::memmem::find(text, b"x-mcp-header").is_none()
            && memchr::memmem::find(text, b"\\u").is_none()
        {
            return Ok(Self::default());
        }
        let Some(schema) = object::member(definition, "inputSchema") else {
            return Ok(Self::default());
        };
        let schema: Value = schema.read().map_err(|_| InvalidHeaderParameter::Schema)?;
        schema::parameters(&schema).map(|parameters| Self { parameters })
    }

    /// Whether the tool has no annotated parameter.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// The headers that mirror `arguments`. Arguments that are absent, null or of another type have none.
    #[must_use]
    pub fn write(&self, arguments: Option<&RawJson>) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        for parameter in &self.parameters {
            if let Some(text) = parameter
                .argument(arguments)
                .and_then(|value| parameter.kind.text(&value))
            {
                headers.push((parameter.header.clone(), encode_value(&text)));
            }
        }
        headers
    }

    /// Checks that the headers mirror `arguments`. Headers of other parameters are nobody's business.
    ///
    /// # Errors
    ///
    /// The first [`Mismatch`].
    pub fn check(&self, headers: &HeaderMap, arguments: Option<&RawJson>) -> Result<(), Mismatch> {
        for parameter in &self.parameters {
            let name = || parameter.header.clone();
            let mut values = headers.get_all(&parameter.header).iter();
            match (values.next(), parameter.argument(arguments)) {
                (None, None) => {}
                (None, Some(_)) => return Err(Mismatch::Missing(name())),
                (Some(_), None) => return Err(Mismatch::Unexpected(name())),
                (Some(header), Some(argument)) => {
                    let header = decode_value(header).map_err(|_| Mismatch::Different(name()))?;
                    if values.next().is_some() || !parameter.kind.same(&header, &argument) {
                        return Err(Mismatch::Different(name()));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Parameter {
    /// The argument, unless it is absent or null.
    fn argument(&self, arguments: Option<&RawJson>) -> Option<RawJson> {
        let mut value = arguments?.clone();
        for key in &self.path {
            value = object::member(&value, key)?;
        }
        Some(value).filter(|value| !value.is_null())
    }
}

impl Kind {
    /// The argument as the text of a header; `None` if it is not of this kind.
    fn text(self, argument: &RawJson) -> Option<String> {
        match (self, argument.as_bytes()) {
            (Self::String, bytes) => scan::string(bytes).map(std::borrow::Cow::into_owned),
            (Self::Boolean, b"true" | b"false") => Some(argument.as_str().to_owned()),
            (Self::Number, [b'-' | b'0'..=b'9', ..]) => Some(decimal(argument.as_str())),
            _ => None,
        }
    }

    /// Whether a decoded header says what the argument says; numbers by value.
    fn same(self, header: &str, argument: &RawJson) -> bool {
        match self.text(argument) {
            Some(text) if text == header => true,
            // Plain integers are equal only digit by digit: two of them may share a float.
            Some(text) if self == Self::Number && !(is_integer(&text) && is_integer(header)) => {
                let number = |text: &str| serde_json::from_str::<f64>(text).ok();
                number(&text).is_some_and(|value| number(header) == Some(value))
            }
            _ => false,
        }
    }
}

/// A number as a header has it: an integer without fraction or exponent where it is one.
fn decimal(number: &str) -> String {
    const LARGEST: f64 = 9_007_199_254_740_991.0;
    if number != "-0"
        && number
            .bytes()
            .all(|byte| matches!(byte, b'-' | b'0'..=b'9'))
    {
        return number.to_owned();
    }
    match number.parse::<f64>() {
        Ok(value) if value.fract() == 0.0 && value.abs() <= LARGEST => (value as i64).to_string(),
        _ => number.to_owned(),
    }
}

fn is_integer(number: &str) -> bool {
    number
        .bytes()
        .all(|byte| matches!(byte, b'-' | b'0'..=b'9'))
}

#[cfg(test)]
mod tests;
