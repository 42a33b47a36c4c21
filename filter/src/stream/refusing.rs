//! Refusals: of the request at hand, and of those that wait for nothing.

use crate::host::{Host, HostError};
use crate::refusal::Refusal;
use crate::rpc::{Protocol, Reply};
use crate::state::Vm;
use crate::waiting::MOST_AT_ONCE;

/// Answers the current request.
pub(super) fn refuse(vm: &Vm, host: &impl Host, protocol: Protocol, refusal: &Refusal) {
    vm.count_refused(refusal.counter());
    // The reply passes the response side of all filters. So Envoy's CORS filter adds its headers to it, if it stands
    // in front and the route from before our annotations is not a direct response (seen on 1.40).
    let message = refusal.to_string();
    let reply = Reply::refusal(protocol, refusal.code(), &message, refusal.details());
    vm.note(host.reply(&reply));
}

/// Answers the requests that have waited too long for their body; in a callback
/// of the context `root`. Returns whether there may be more of them.
///
/// # Errors
/// When the host does not tell the time; they are answered another time.
pub fn refuse_overdue(vm: &Vm, host: &impl Host, root: u32) -> Result<bool, HostError> {
    if vm.waiting.is_empty() {
        return Ok(false);
    }
    let overdue = vm.waiting.take_overdue(host.monotonic_time()?);
    for (context, request) in &overdue {
        let refusal = Refusal::BodyTimeout(request.limit);
        let refuse = || refuse(vm, host, request.protocol, &refusal);
        vm.note(host.within(*context, root, refuse));
    }
    Ok(overdue.len() == MOST_AT_ONCE)
}
