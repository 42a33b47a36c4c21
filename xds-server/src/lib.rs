//! The control plane of Yorkies: feeds stock Envoy the members of a sharded
//! document service, over xDS.
//!
//! Data runs one way: [`registry`] (who is there) to [`rebalance`] (who owns
//! what, under which epoch) to [`resources`] (as Envoy wants it) to [`ads`]
//! (to every proxy). [`server`] is where they are wired.

#![forbid(unsafe_code)]

pub mod ads;
pub mod api;
pub mod bootstrap;
mod checks;
pub mod cli;
mod commands;
pub mod config;
pub mod fleet;
pub mod module;
pub mod rebalance;
pub mod registry;
pub mod reports;
pub mod resources;
pub mod server;
pub mod snapshot;
pub mod state;
