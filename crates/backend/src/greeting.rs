//! How a conversation with a backend begins: what we say of ourselves, and what it says of itself.

use isthmus_exchange::{BackendName, Error, ErrorKind, PeerFacts};
use isthmus_protocol::object::{assemble, member_at};
use isthmus_protocol::params::meta_key;
use isthmus_protocol::{Era, RawJson, Revision};
use serde::Deserialize;

/// Parameters of `initialize`: offers the newest stateful revision (LC-1).
pub(crate) fn initialize_params(capabilities: &RawJson, client_info: &RawJson) -> RawJson {
    assemble([
        (
            "protocolVersion",
            RawJson::string(Revision::LATEST_STATEFUL.as_str()),
        ),
        ("capabilities", capabilities.clone()),
        ("clientInfo", client_info.clone()),
    ])
}

/// Reads the result of `initialize`.
///
/// # Errors
///
/// `BackendMisbehaved` if it is no such result, or chooses a revision that has no sessions or that nobody knows.
pub(crate) fn read_initialized(
    backend: &BackendName,
    result: &RawJson,
) -> Result<PeerFacts, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Initialized {
        protocol_version: String,
        capabilities: RawJson,
        #[serde(default)]
        server_info: Option<RawJson>,
        #[serde(default)]
        instructions: Option<String>,
    }
    let read: Initialized = result.read().map_err(|error| {
        misbehaved(backend, "answered `initialize` with something else").caused_by(error)
    })?;
    let revision = match read.protocol_version.parse::<Revision>() {
        Ok(revision) if revision.era() == Era::Stateful => revision,
        _ => {
            let version: String = read.protocol_version.chars().take(40).collect();
            return Err(misbehaved(
                backend,
                &format!(
                    "wants to speak the revision `{version}`, which has no handshake or is not known"
                ),
            ));
        }
    };
    Ok(PeerFacts {
        revision,
        capabilities: object_or_empty(read.capabilities),
        server_info: read.server_info,
        instructions: read.instructions,
    })
}

/// What `server/discover` found.
#[derive(Debug)]
pub(crate) enum Discovered {
    /// The backend speaks a stateless revision that we speak too.
    Stateless(PeerFacts),
    /// It answered, but lists no such revision: it is to be spoken to with `initialize` (E-7).
    Stateful,
}

/// Reads the result of `server/discover`.
///
/// # Errors
///
/// `BackendMisbehaved` if it is no such result.
pub(crate) fn read_discovered(
    backend: &BackendName,
    result: &RawJson,
) -> Result<Discovered, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct DiscoverResult {
        supported_versions: Vec<String>,
        #[serde(default)]
        capabilities: Option<RawJson>,
        #[serde(default)]
        instructions: Option<String>,
    }
    let read: DiscoverResult = result.read().map_err(|error| {
        misbehaved(backend, "answered `server/discover` with something else").caused_by(error)
    })?;
    let revision = read
        .supported_versions
        .iter()
        .filter_map(|version| version.parse::<Revision>().ok())
        .filter(|revision| revision.era() == Era::Stateless)
        .max();
    let Some(revision) = revision else {
        return Ok(Discovered::Stateful);
    };
    let server_info = member_at(result, &["_meta", meta_key::SERVER_INFO]);
    Ok(Discovered::Stateless(PeerFacts {
        revision,
        capabilities: read
            .capabilities
            .map_or_else(RawJson::empty_object, object_or_empty),
        // Drafts had it beside `capabilities` (digest §8).
        server_info: server_info.or_else(|| member_at(result, &["serverInfo"])),
        instructions: read.instructions,
    }))
}

fn object_or_empty(value: RawJson) -> RawJson {
    if value.is_object() {
        value
    } else {
        RawJson::empty_object()
    }
}

fn misbehaved(backend: &BackendName, what: &str) -> Error {
    Error::new(
        ErrorKind::BackendMisbehaved(backend.clone()),
        format!("`{backend}` {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend() -> BackendName {
        BackendName::parse("b").unwrap()
    }

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn only_a_revision_with_a_handshake_can_come_out_of_a_handshake() {
        for (version, good) in [
            ("2024-11-05", true),
            ("2025-11-25", true),
            ("2026-07-28", false),
            ("1.0", false),
        ] {
            let result = json(&format!(
                r#"{{"protocolVersion":"{version}","capabilities":{{}}}}"#
            ));
            assert_eq!(
                read_initialized(&backend(), &result).is_ok(),
                good,
                "{version}"
            );
        }
        assert!(read_initialized(&backend(), &json("{}")).is_err());
    }

    #[test]
    fn a_discovery_without_a_stateless_revision_means_stateful() {
        let legacy = json(r#"{"supportedVersions":["2025-11-25","2025-06-18"],"capabilities":{}}"#);
        assert!(matches!(
            read_discovered(&backend(), &legacy),
            Ok(Discovered::Stateful)
        ));
        let both = json(
            r#"{"supportedVersions":["2025-11-25","2026-07-28"],"capabilities":{"tools":{}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"x"}}}"#,
        );
        let Ok(Discovered::Stateless(facts)) = read_discovered(&backend(), &both) else {
            panic!("not stateless")
        };
        assert_eq!(facts.revision, Revision::V2026_07_28);
        assert_eq!(facts.server_info.unwrap().as_str(), r#"{"name":"x"}"#);
    }
}
