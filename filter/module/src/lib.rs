//! What the filter's module needs between the linker and Envoy.
//!
//! Envoy calls every callback that a module exports, on every request, and
//! the proxy-wasm SDK exports all of them. A callback that is not exported
//! costs nothing, and the host takes its most harmless result: go on, done,
//! configured. So [`strip`] leaves only the callbacks of a [`Keep`] list. It
//! cannot know which of them the SDK needs for itself; the list says why each
//! is in it.
//!
//! [`store`] names the result by its content. Envoys that have loaded a file
//! must never find something else in it: a plugin update would start another
//! VM, which knows none of the open streams.

#![forbid(unsafe_code)]

mod keep;
mod store;
mod strip;

pub use keep::{Keep, KeepError};
pub use store::{Stored, store};
pub use strip::{StripError, Stripped, is_callback, strip};
