//! The protocols of remote calls. Pure: which one a request speaks
//! ([`Protocol`]), how to read its message ([`shape`], [`query`]), and what an
//! error looks like in it ([`Reply`]).

mod encode;
mod protocol;
pub mod query;
mod reply;
pub mod shape;

pub use protocol::{Codec, Protocol};
pub use reply::{Code, Reply};
