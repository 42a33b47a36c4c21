//! The fixture of the end-to-end tests: real Envoys, the real control plane and
//! cheap members, handed out by [`TestEnvironment`] and gone when a test ends.
//!
//! Nothing here waits blindly, uses a fixed port or outlives its test. What
//! can fail returns an error that says what was expected, and the logs of a
//! test that failed are kept.

#![forbid(unsafe_code)]
#![allow(
    clippy::missing_errors_doc,
    reason = "every error here has one meaning: the test has failed"
)]

mod address;
mod agent;
mod answer;
mod artifacts;
mod authority;
mod callers;
mod client;
mod cluster;
mod control_plane;
mod crowd;
mod dns_server;
mod document_server;
mod documents;
mod environment;
mod envoy;
mod etcd;
mod figures;
mod files;
mod grpc_client;
mod kubernetes;
mod link;
mod log;
pub mod manual;
mod markdown;
mod member;
mod member_process;
mod members_file;
mod mongo;
mod normalize;
mod patience;
mod prediction;
mod process;
mod python;
mod refusal;
mod report_sink;
mod router;
mod rpc;
mod scratch;
mod traffic;
mod usage;
mod watchers;

pub use address::own_address;
pub use agent::{Agent, Registered};
pub use answer::{Answer, document_id};
pub use artifacts::{
    chromium_binary, crashing_filter_module, document_server_binary, envoy_binary, filter_module,
    target_folder, workspace, xds_server_binary,
};
pub use authority::{Authority, Issued};
pub use callers::{Callers, HandedOut, History};
pub use client::{Client, Protocol, Reply, Request};
pub use cluster::Cluster;
pub use control_plane::{ControlPlane, Settings, run_xds_server};
pub use crowd::{Crowd, Kind, Times, members_nowhere};
pub use dns_server::{DnsServer, Service};
pub use document_server::{DocumentServer, DocumentStore, PAGES_RULE};
pub use documents::Documents;
pub use environment::TestEnvironment;
pub use envoy::{Admin, Envoy, Memory, Mode, run_envoy};
pub use etcd::{Etcd, EtcdTls};
pub use figures::Figures;
pub use files::Files;
pub use grpc_client::{GrpcClient, GrpcLibrary, GrpcReply, XdsResource};
pub use kubernetes::{ApiFault, KubernetesApi};
pub use link::{Link, Passage};
pub use log::LogLine;
pub use markdown::{anchors, links};
pub use member::{Arrival, Member, STAY_OPEN, STAY_SILENT};
pub use member_process::MemberProcess;
pub use members_file::MembersFile;
pub use mongo::{Heartbeats, Mongo};
pub use normalize::{comparable_clusters, comparable_dump};
pub use patience::{eventually, patience};
pub use prediction::{assignment, equal_weights, expect_hosts, expect_owners, keys, settled};
pub use process::Process;
pub use refusal::Refusal;
pub use report_sink::ReportSink;
pub use router::Router;
pub use rpc::Rpc;
pub use scratch::Scratch;
pub use traffic::{Traffic, TrafficReport};
pub use usage::Usage;
pub use watchers::{Session, Watch, Watchers};
