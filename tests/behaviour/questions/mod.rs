//! What backends ask in the middle of a request: whom it reaches, in whose words, and what becomes of it.

mod asking;
mod attribution;
mod lasting;
mod offered;
mod parked;
mod refusing;
mod resuming;
mod rounds;
mod url_elicitation;
mod vanishing;
