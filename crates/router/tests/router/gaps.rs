//! What watchers are told where we could not hear everything, and what is left behind.
