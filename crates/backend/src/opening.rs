//! placeholder
use std::sync::Arc;

use isthmus_exchange::{BackendName, BoxFuture, Error};
use isthmus_protocol::RawJson;

use crate::backend::Shared;
use crate::conversation::Conversation;
use crate::pool::Open;

#[derive(Debug)]
struct Never;

impl Open for Never {
    fn open(&self, _: RawJson) -> BoxFuture<'static, Result<Arc<dyn Conversation>, Error>> {
        Box::pin(async { Err(Error::internal("not yet")) })
    }
    fn evidence(&self) -> &'static str {
        "none"
    }
}

pub(crate) fn opener(_: &BackendName, _: &isthmus_config::Backend, _: &Shared) -> Arc<dyn Open> {
    Arc::new(Never)
}
