//! Conversations over a pipe of JSON-RPC messages: stdio and HTTP+SSE of 2024-11-05.

mod pipe;

pub(crate) use pipe::{OutgoingMessage, Pipe, PipeEnd, PipeEvent, PipeMaker};
