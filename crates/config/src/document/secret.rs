//! Values that may be secret: as text or by reference.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// A value that may be secret.
#[derive(Clone)]
pub(crate) enum Secret {
    /// Written out, `${X}` already replaced.
    Text(String),
    /// `{env: NAME}`.
    Env(String),
    /// `{file: path}`.
    File(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text(…)",
            Self::Env(_) => "Env(…)",
            Self::File(_) => "File(…)",
        })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, `{env: NAME}` or `{file: path}`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
                match map.next_entry::<String, String>()? {
                    Some((key, name)) if key == "env" => Ok(Secret::Env(name)),
                    Some((key, path)) if key == "file" => Ok(Secret::File(path)),
                    _ => Err(A::Error::custom("expected `env` or `file`")),
                }
            }
        }

        // By the hint "text" our deserializer gives every scalar as it was written: `5`, `true` and `1.0` included.
        deserializer.deserialize_str(Forms)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "A value that may be secret: a text, `{env: NAME}` or `{file: path}`. It is never printed.",
            "anyOf": [
                {"type": "string", "description": "The value itself. Better not for secrets."},
                {
                    "type": "object",
                    "properties": {
                        "env": {"type": "string", "description": "The environment variable that holds it."},
                        "file": {
                            "type": "string",
                            "description": "The file that holds it, without the line break at its end."
                        },
                    },
                    "additionalProperties": false,
                    "oneOf": [{"required": ["env"]}, {"required": ["file"]}],
                },
            ],
        })
    }
}
