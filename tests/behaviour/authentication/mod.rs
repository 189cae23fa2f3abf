//! Who may call, over HTTP: every door with every kind of credential, and what one caller cannot have of another's.

mod command_line;
mod doors;
pub mod issuer;
mod protected_resource;
mod reload;
mod strangers;
pub mod visitor;
