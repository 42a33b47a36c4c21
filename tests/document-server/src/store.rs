//! The shared store: what `MongoDB` is to real servers, in a process of its own.
//!
//! It offers single-document atomic operations over a few collections and
//! nothing more; it knows nothing of what it stores.

pub mod client;
pub mod collection;
pub mod query;
pub mod server;
