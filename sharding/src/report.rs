//! What a filter tells the control plane, as `proto/report.proto` has it.

#[allow(missing_docs, clippy::pedantic)] // generated; the comments of the file are its documentation
mod generated {
    include!(concat!(env!("OUT_DIR"), "/yorkies.report.v1.rs"));
}

pub use generated::{MemberStreams, Phase, Receipt, Report};

/// Full name of the service that takes reports.
pub const REPORTS_SERVICE: &str = "yorkies.report.v1.Reports";

/// Its only method: a [`Report`] for a [`Receipt`].
pub const SEND_METHOD: &str = "Send";
