//! Envoy HTTP filter (proxy-wasm): gives every request exactly one canonical
//! shard key, says which member owns it, and refuses what cannot be routed, in
//! the protocol of the caller.
//!
//! [`host`] is all that this crate knows of Envoy, and the only place with
//! `unsafe`; the other modules are pure and run natively behind its trait.
//! State is kept once for each VM ([`state::Vm`]) and for each request
//! ([`stream::Stream`]). A request goes from [`headers`], and its [`body`] where
//! it has to be read, through [`derive`](mod@derive) to a verdict ([`request`])
//! or a refusal ([`refusal`], [`rpc`]).

#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::panic,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::unreachable,
        clippy::todo,
        clippy::unimplemented
    )
)]

pub mod body;
#[cfg(feature = "crash")]
pub mod crash;
pub mod derive;
pub mod drain;
pub mod fields;
pub mod handover;
pub mod headers;
pub mod host;
pub mod key;
pub mod learned;
pub mod metrics;
pub mod project;
pub mod refusal;
pub mod report;
pub mod request;
pub mod rpc;
pub mod state;
pub mod stream;
pub mod waiting;

mod contexts;
#[cfg(test)]
mod mock;
