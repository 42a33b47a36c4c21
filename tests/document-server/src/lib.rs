//! A small document server that speaks the Yorkie protocol.
//!
//! It exists for demos and end-to-end tests of a router: real SDK clients work
//! against it, and a document that two instances serve at once breaks in the
//! ways it breaks on real servers. What it is faithful to, and what it leaves
//! out, is in the README next to this crate.
#![forbid(unsafe_code)]

pub mod audience;
pub mod client;
pub mod instance;
pub mod log;
pub mod pages;
pub mod protocol;
pub mod sdk;
pub mod server;
pub mod store;

/// The messages of the protocol, generated from `proto/`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated code"
)]
pub mod api {
    include!(concat!(env!("OUT_DIR"), "/yorkie.v1.rs"));

    /// The standard gRPC health messages.
    pub mod health {
        include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
    }
}
