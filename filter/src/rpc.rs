//! Refusals in the protocol of the caller. Pure: which protocol a request
//! speaks ([`Protocol`]), and what an error looks like in it ([`Reply`]).

mod encode;
mod protocol;
mod reply;

pub use protocol::{Codec, Protocol};
pub use reply::{Code, Reply};
