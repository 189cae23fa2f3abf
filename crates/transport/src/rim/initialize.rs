//! The handshake that opens a session (LS-1).

use std::sync::Arc;
use std::time::Duration;

use isthmus_exchange::{ClientCapabilities, Error, ErrorKind, Outcome, Request};
use isthmus_protocol::convert::downgrade_capabilities;
use isthmus_protocol::{Method, RawJson, Revision, object};
use isthmus_session::{NewSession, OpenError, Session};

use super::stateless::Sender;
use crate::face::RouteFace;
use crate::listener::Clients;

/// Opens a session for `initialize` and makes its result.
///
/// # Errors
///
/// Wrong parameters, too many sessions, or what the route's stage refuses with; no session is left then.
pub(crate) async fn initialize(
    clients: &Clients,
    face: &RouteFace,
    sender: Sender,
    params: Option<&RawJson>,
) -> Result<(Arc<Session>, RawJson), Error> {
    let empty = RawJson::empty_object();
    let params = params.unwrap_or(&empty);
    let requested = object::string_member(params, "protocolVersion")
        .ok_or_else(|| Error::invalid_params("`protocolVersion` is missing"))?;
    let capabilities = match object::member(params, "capabilities") {
        Some(declared) => ClientCapabilities::parse(declared).map_err(|error| {
            Error::invalid_params("`capabilities` has the wrong shape").caused_by(error)
        })?,
        None => ClientCapabilities::none(),
    };
    let opened = clients.sessions().open(NewSession {
        principal: sender.principal,
        route: face.route.clone(),
        revision: Revision::negotiate(&requested),
        capabilities,
        client_info: object::member(params, "clientInfo").filter(RawJson::is_object),
        address: sender.address,
    });
    let session = opened.map_err(refused)?;
    match greeting(clients, face, &session).await {
        Ok(result) => Ok((session, result)),
        Err(error) => {
            clients.sessions().end(&session);
            Err(error)
        }
    }
}

async fn greeting(
    clients: &Clients,
    face: &RouteFace,
    session: &Session,
) -> Result<RawJson, Error> {
    let request = Request::new(
        Method::ServerDiscover,
        RawJson::empty_object(),
        session.caller(),
    );
    let Outcome::Complete(discovered) = face.stage.run(request).await?.outcome().await? else {
        return Err(Error::internal("`server/discover` asked for input"));
    };
    let capabilities =
        object::member(&discovered.result, "capabilities").unwrap_or_else(RawJson::empty_object);
    let capabilities = downgrade_capabilities(&capabilities, session.revision());
    let instructions = object::member(&discovered.result, "instructions");
    let members = [
        (
            "protocolVersion",
            RawJson::string(session.revision().as_str()),
        ),
        ("capabilities", capabilities),
        ("serverInfo", clients.server_info().clone()),
    ];
    let instructions = instructions.map(|text| ("instructions", text));
    Ok(object::assemble(members.into_iter().chain(instructions)))
}

fn refused(error: OpenError) -> Error {
    match error {
        OpenError::CapabilitiesTooLong => Error::invalid_params(error.to_string()),
        OpenError::TooMany => {
            let retry_after = Duration::from_secs(10);
            Error::new(ErrorKind::Overloaded { retry_after }, error.to_string())
        }
    }
}
