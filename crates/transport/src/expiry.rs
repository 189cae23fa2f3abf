//! A stream ends when the credential of whoever listens does.
//!
//! A caller shows its credential with every request, so a short answer needs no second look. A stream on which others'
//! news come would go on long after.

use std::time::SystemTime;

use futures_util::StreamExt as _;
use isthmus_exchange::Principal;

use crate::answer::HttpResponse;
use crate::body::ResponseBody;

/// The same response, ending with the credential of `principal` if it is a stream.
pub(crate) fn end_with(response: HttpResponse, principal: &Principal) -> HttpResponse {
    let Some(expires) = principal.expires() else {
        return response;
    };
    let left = expires
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    response.map(|body| match body {
        ResponseBody::Stream(events) => {
            let ended = Box::pin(tokio::time::sleep(left));
            ResponseBody::Stream(Box::pin(events.take_until(ended)))
        }
        other => other,
    })
}
