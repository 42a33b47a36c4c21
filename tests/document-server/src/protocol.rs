//! Connect, gRPC and gRPC-Web on one path, in protobuf and JSON.
//!
//! The layer turns an HTTP request into one protobuf-encoded request message
//! and a [`reply::Reply`] back into a response, so that nothing behind it knows
//! which protocol or codec a caller chose.

pub mod codec;
pub mod compression;
pub mod connect;
pub mod content;
pub mod deadline;
pub mod envelope;
pub mod error;
pub mod grpc;
pub mod grpc_web;
pub mod methods;
pub mod reply;
pub mod rpc;

/// The largest request message that is read, in bytes.
pub const MAX_MESSAGE: usize = 8 * 1024 * 1024;
