//! The control plane of Yorkies: feeds stock Envoy the members of a sharded
//! document service, over xDS.
//!
//! Data runs one way: [`registry`] (who is there) to [`health`] (who can serve)
//! to [`rebalance`] (who owns what, under which epoch) to [`resources`] (as Envoy wants it) to [`ads`]
//! (to every proxy). What proxies answer and [`reports`] of their filters come
//! back into the [`fleet`], which [`rebalance`] waits for. [`admin`] shows it
//! all. [`server`] is where they are wired.

#![forbid(unsafe_code)]

pub mod admin;
pub mod ads;
pub mod api;
pub mod bootstrap;
mod checks;
pub mod cli;
mod client;
mod commands;
pub mod config;
pub mod files;
pub mod fleet;
pub mod health;
pub mod identity;
pub mod in_force;
pub mod lease;
mod metric;
pub mod module;
mod protojson;
pub mod rebalance;
mod redact;
pub mod registry;
mod reload;
pub mod reports;
pub mod resources;
pub mod server;
pub mod snapshot;
pub mod state;
mod systemd;
pub mod tls;
mod token;
