//! What the filter asks of its host. The rest of the crate sees only this
//! trait, so that it can be tested natively.

mod envoy;

use std::time::Duration;

use thiserror::Error;

use crate::rpc::Reply;

pub use envoy::Envoy;

/// Host calls that the filter needs, each mapped to one typed error.
pub trait Host {
    /// All headers of the current request in the layout that
    /// [`RequestHeaders`](crate::headers::RequestHeaders) reads. One call for
    /// all: Envoy's getter of a single header shows only its first value.
    ///
    /// # Errors
    /// Outside the request-headers phase or when memory is short.
    fn request_headers(&self) -> Result<Vec<u8>, HostError>;

    /// `size` bytes of the current request's body, from `start` of what has
    /// gathered since it began to wait.
    ///
    /// # Errors
    /// Outside the request-body phase, and for bytes that are not there.
    fn request_body(&self, start: usize, size: usize) -> Result<Vec<u8>, HostError>;

    /// All headers of the current response, as those of a request.
    ///
    /// # Errors
    /// Outside the response-headers phase or when memory is short.
    fn response_headers(&self) -> Result<Vec<u8>, HostError>;

    /// The `size` bytes of the current response's body that pass by.
    ///
    /// # Errors
    /// Outside the response-body phase, and for bytes that are not there.
    fn response_body(&self, size: usize) -> Result<Vec<u8>, HostError>;

    /// A value that all VMs of the process share, and its version.
    ///
    /// # Errors
    /// [`HostError::NotFound`] when nobody has set it.
    fn shared(&self, name: &str) -> Result<(Vec<u8>, u32), HostError>;

    /// Sets a shared value, if its version is still that one; 0 for whatever
    /// version.
    ///
    /// # Errors
    /// [`HostError::CasMismatch`] when somebody else has set it since.
    fn set_shared(&self, name: &str, value: &[u8], version: u32) -> Result<(), HostError>;

    /// Leaves exactly one header of that name in the current request.
    ///
    /// # Errors
    /// Once the request's headers have gone on.
    fn set_request_header(&self, name: &str, value: &str) -> Result<(), HostError>;

    /// Removes every header of that name from the current request.
    ///
    /// # Errors
    /// Once the request's headers have gone on.
    fn remove_request_header(&self, name: &str) -> Result<(), HostError>;

    /// Sets the filter state `wasm.<name>` of the current request.
    ///
    /// # Errors
    /// When the name is set already.
    fn set_filter_state(&self, name: &str, value: &str) -> Result<(), HostError>;

    /// Answers the current request in place of a server. Nothing of the
    /// request goes further.
    ///
    /// # Errors
    /// None that Envoy is known to have.
    fn reply(&self, reply: &Reply) -> Result<(), HostError>;

    /// Ends the current request without another word to its caller, and to the
    /// server. Not twice, and not once it has ended.
    ///
    /// # Errors
    /// None that Envoy is known to have.
    fn reset(&self) -> Result<(), HostError>;

    /// Something that Envoy knows of the current request, or of itself.
    ///
    /// # Errors
    /// [`HostError::NotFound`] for what is not known, or not yet.
    fn property(&self, path: &[&str]) -> Result<Vec<u8>, HostError>;

    /// Makes a call of its own. Nobody hears of the answer.
    ///
    /// # Errors
    /// When it cannot be sent.
    fn grpc_call(&self, call: &GrpcCall<'_>) -> Result<(), HostError>;

    /// The plugin configuration; only while a root context is configured.
    ///
    /// # Errors
    /// At any other time.
    fn plugin_configuration(&self) -> Result<Vec<u8>, HostError>;

    /// Lets the current root context (that of the current request, during one)
    /// tick; a period of zero ends it.
    ///
    /// # Errors
    /// None that Envoy is known to have.
    fn set_tick_period(&self, period: Duration) -> Result<(), HostError>;

    /// The current root context, whose end was put off, ends now.
    ///
    /// # Errors
    /// [`HostError::NotFound`] when its end was not put off.
    fn done(&self) -> Result<(), HostError>;

    /// The time of a clock that never goes back; when it began means nothing.
    ///
    /// # Errors
    /// None that Envoy is known to have.
    fn monotonic_time(&self) -> Result<Duration, HostError>;

    /// Makes that context the current one, for the calls that follow until the
    /// callback ends.
    ///
    /// # Errors
    /// [`HostError::BadArgument`] for a context that is gone.
    fn enter(&self, context: u32) -> Result<(), HostError>;

    /// Acts as if in a callback of another context, and comes back to `own`.
    ///
    /// # Errors
    /// As [`Host::enter`]; then nothing was done.
    fn within<R>(&self, context: u32, own: u32, act: impl FnOnce() -> R) -> Result<R, HostError>
    where
        Self: Sized,
    {
        self.enter(context)?;
        let done = act();
        self.enter(own)?;
        Ok(done)
    }

    /// The id of the counter of that name, which is one for the whole process.
    ///
    /// # Errors
    /// None that Envoy is known to have.
    fn define_counter(&self, name: &str) -> Result<u32, HostError>;

    /// Adds to a counter. `amount` must not be 0.
    ///
    /// # Errors
    /// For an id that is not defined.
    fn add_to_counter(&self, id: u32, amount: u64) -> Result<(), HostError>;

    /// The id of the gauge of that name, which is one for the whole process.
    ///
    /// # Errors
    /// None that Envoy is known to have.
    fn define_gauge(&self, name: &str) -> Result<u32, HostError>;

    /// Adds to a gauge, or takes away.
    ///
    /// # Errors
    /// For an id that is not defined.
    fn move_gauge(&self, id: u32, change: i64) -> Result<(), HostError>;

    /// Writes to the host's log.
    fn log(&self, level: LogLevel, message: &str);
}

/// A unary gRPC call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrpcCall<'a> {
    /// Where to: `envoy.config.core.v3.GrpcService` in protobuf.
    pub target: &'a [u8],
    /// Full name of the service.
    pub service: &'a str,
    /// Name of its method.
    pub method: &'a str,
    /// The message in protobuf.
    pub message: &'a [u8],
    /// When to give up.
    pub timeout: Duration,
}

/// Levels of the host's log that the filter uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// For whoever looks closer.
    Debug,
    /// Rare and expected.
    Info,
    /// Somebody should look, nothing is broken.
    Warn,
    /// Something does not work.
    Error,
    /// The VM dies.
    Critical,
}

/// A host call that was not answered with success: the status codes of the
/// proxy-wasm ABI 0.2.1 (`proxy_result_t`), and our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HostError {
    /// Status 1.
    #[error("host call: not found")]
    NotFound,
    /// Status 2.
    #[error("host call: bad argument")]
    BadArgument,
    /// Status 6.
    #[error("host call: invalid memory access")]
    InvalidMemoryAccess,
    /// Status 7.
    #[error("host call: empty")]
    Empty,
    /// Status 8.
    #[error("host call: version mismatch")]
    CasMismatch,
    /// Status 10.
    #[error("host call: internal failure")]
    InternalFailure,
    /// Status 12.
    #[error("host call: unimplemented")]
    Unimplemented,
    /// Any other.
    #[error("host call: status {0}")]
    Other(u32),
    /// Success, but what came is not in the layout of the ABI.
    #[error("host call: unreadable answer")]
    Unreadable,
}

impl HostError {
    /// Reads a status of the ABI.
    ///
    /// # Errors
    /// Every status but 0.
    pub fn check(status: u32) -> Result<(), Self> {
        Err(match status {
            0 => return Ok(()),
            1 => Self::NotFound,
            2 => Self::BadArgument,
            6 => Self::InvalidMemoryAccess,
            7 => Self::Empty,
            8 => Self::CasMismatch,
            10 => Self::InternalFailure,
            12 => Self::Unimplemented,
            other => Self::Other(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_status_0_is_success() {
        assert_eq!(HostError::check(0), Ok(()));
        for status in 1..200 {
            assert!(HostError::check(status).is_err());
        }
        assert_eq!(HostError::check(9), Err(HostError::Other(9)));
    }
}
