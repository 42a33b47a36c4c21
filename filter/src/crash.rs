//! A crash on request, to see what Envoy and the control plane make of one. Not
//! in any module that is shipped: it takes the feature `crash`.

#![allow(clippy::panic, reason = "this is what it is for")]

use crate::headers::RequestHeaders;
use crate::host::Host;

/// A request with this header takes the VM down.
const CRASH: &str = "x-crash";

/// Looks at the current request, in its headers phase.
pub fn if_asked(host: &impl Host) {
    let headers = host.request_headers().unwrap_or_default();
    let headers = RequestHeaders::read(&headers);
    if headers.is_ok_and(|headers| !headers.values(CRASH).is_empty()) {
        panic!("a request asks for it");
    }
}
