//! A crash on request, to see what Envoy and the control plane make of one. Not
//! in any module that is shipped: it takes the feature `crash`.

use crate::headers::RequestHeaders;
use crate::host::Host;

/// A request with this header takes the VM down.
const CRASH: &str = "x-crash";

/// Looks at the current request, in its headers phase.
///
/// # Panics
/// When it asks for that.
pub fn if_asked(host: &impl Host) {
    let headers = host.request_headers().unwrap_or_default();
    let headers = RequestHeaders::read(&headers);
    let is_asked = headers.is_ok_and(|headers| !headers.values(CRASH).is_empty());
    assert!(!is_asked, "a request asks for it");
}
