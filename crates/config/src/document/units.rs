//! Durations and sizes with their units.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// A duration above zero, such as `5s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurationText(pub(crate) Duration);

/// A duration that may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaitText(pub(crate) Duration);

/// A size above zero in bytes, such as `16MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizeText(pub(crate) u64);

impl SizeText {
    /// A size of memory.
    pub(crate) fn of(bytes: usize) -> Self {
        Self(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// The size, or the largest one this machine can hold.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Reads `250ms`, `5s`, `15min`, `2h` or `1d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    const HELP: &str =
        "a duration is a whole number and one of `ms`, `s`, `min`, `h`, `d`, as in `5s`";
    let (number, unit) = split(text).ok_or(HELP)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "m" => return Err("minutes are written `min`, as in `10min`"),
        _ => return Err(HELP),
    };
    match number.checked_mul(milliseconds) {
        Some(all) if all <= LONGEST => Ok(Duration::from_millis(all)),
        _ => Err("the longest duration is `365d`"),
    }
}

/// Reads `512B`, `64KiB`, `16MiB`, `1GiB`, and the decimal `kB`, `MB`, `GB`.
pub(crate) fn parse_size(text: &str) -> Result<u64, &'static str> {
    const HELP: &str = "a size is a whole number and one of `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB`, as in `16MiB`";
    let (number, unit) = split(text).ok_or(HELP)?;
    let bytes = match unit {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(HELP),
    };
    number.checked_mul(bytes).ok_or("this is too much")
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.strip_prefix(' ').unwrap_or(unit)))
}

fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (unit, length) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("min", 60_000),
        ("s", 1_000),
    ] {
        if milliseconds > 0 && milliseconds.is_multiple_of(length) {
            return format!("{}{unit}", milliseconds / length);
        }
    }
    format!("{milliseconds}ms")
}

fn show_size(bytes: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

macro_rules! text_form {
    ($type:ident, $format:literal, $pattern:literal, $example:literal, $parse:expr, $show:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $parse(&text).map(Self).map_err(D::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$show(self.0))
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $format.into()
            }

            fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
                schemars::json_schema!({
                    "type": "string", "format": $format, "pattern": $pattern, "examples": [$example]
                })
            }
        }
    };
}

text_form!(
    DurationText,
    "span",
    "^[0-9]+ ?(ms|s|min|h|d)$",
    "5s",
    parse_duration,
    show_duration
);
text_form!(
    WaitText,
    "wait",
    "^[0-9]+ ?(ms|s|min|h|d)$",
    "5s",
    parse_duration,
    show_duration
);
text_form!(
    SizeText,
    "size",
    "^[0-9]+ ?([KMG]i|[kMG])?B$",
    "16MiB",
    parse_size,
    show_size
);

/// Keeps sums of clocks and durations from overflowing.
const LONGEST: u64 = 365 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        let seconds = |n| Ok(Duration::from_secs(n));
        for (text, expected) in [
            ("5s", seconds(5)),
            ("15min", seconds(900)),
            ("15 min", seconds(900)),
            ("2h", seconds(7200)),
            ("1d", seconds(86_400)),
            ("0s", seconds(0)),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
        for bad in [
            "",
            "5",
            "s",
            "1.5s",
            "-1s",
            "5m",
            "5 s ",
            "99999999999999999999s",
            "366d",
            "18446744073709551615d",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_size_is_a_whole_number_and_a_unit() {
        assert_eq!(parse_size("16MiB"), Ok(16 << 20));
        assert_eq!(parse_size("1kB"), Ok(1000));
        for bad in ["16", "16M", "16mb", "1.5GiB", "99999999999GiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn units_are_shown_as_they_are_read() {
        for text in ["5s", "1min", "15min", "500ms", "2h", "90s", "0ms"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
        for text in ["16MiB", "64KiB", "1000B", "2GiB"] {
            assert_eq!(show_size(parse_size(text).unwrap()), text);
        }
    }
}
