//! Moments: when a key ends.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::document::parse_duration;

/// Reads `2027-01-31`, which is its first moment in UTC, or a moment of RFC 3339.
pub(crate) fn parse_moment(text: &str) -> Option<SystemTime> {
    let whole_day = text.len() == "2027-01-31".len();
    let day = format!("{text}T00:00:00Z");
    let text = if whole_day { &day } else { text };
    OffsetDateTime::parse(text, &Rfc3339).ok().map(Into::into)
}

/// The end of something that begins at `now`, as it is written in a config: from a span such as `90d`, a date, or a moment.
///
/// # Errors
///
/// How it has to be written.
pub fn expiry(text: &str, now: SystemTime) -> Result<String, &'static str> {
    const HELP: &str = "write it as `90d`, `2027-01-31` or `2027-01-31T12:00:00Z`";
    let from_now = parse_duration(text)
        .ok()
        .and_then(|span| now.checked_add(span));
    let moment = from_now.or_else(|| parse_moment(text)).ok_or(HELP)?;
    if moment <= now {
        return Err("this is past already");
    }
    OffsetDateTime::from(moment)
        .replace_nanosecond(0)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .ok_or(HELP)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_date_is_its_first_moment_in_utc() {
        let midnight = parse_moment("2027-01-31T00:00:00Z");
        assert!(midnight.is_some());
        assert_eq!(parse_moment("2027-01-31"), midnight);
        assert_eq!(parse_moment("2027-01-31T01:00:00+01:00"), midnight);
        for bad in ["", "tomorrow", "2027-02-30", "31.01.2027", "2027-01-31T12"] {
            assert_eq!(parse_moment(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_expiry_is_written_as_a_moment_and_lies_ahead() {
        let now = parse_moment("2027-01-31").unwrap() + Duration::from_millis(5);
        assert_eq!(expiry("1d", now).as_deref(), Ok("2027-02-01T00:00:00Z"));
        assert_eq!(
            expiry("2028-01-01", now).as_deref(),
            Ok("2028-01-01T00:00:00Z")
        );
        for bad in ["2026-01-01", "0s", "soon", ""] {
            assert!(expiry(bad, now).is_err(), "{bad}");
        }
    }
}
