//! The records, and how questions about them are answered.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::SRV;
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;

/// An SRV record.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// Name of the server.
    pub target: &'a str,
    /// Its port.
    pub port: u16,
    /// Its share among those of the same priority.
    pub weight: u16,
    /// The lowest is preferred.
    pub priority: u16,
}

#[derive(Debug, Default)]
pub(super) struct Zone {
    state: Mutex<State>,
    questions: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    records: BTreeMap<LowerName, Vec<Record>>,
    pub(super) is_talkative: bool,
    pub(super) failure: Option<ResponseCode>,
    pub(super) is_silent: bool,
}

/// What is sent for a question.
struct Reply {
    code: ResponseCode,
    answers: Vec<Record>,
    additionals: Vec<Record>,
}

impl Zone {
    pub(super) fn set_addresses(&self, name: &str, addresses: &[IpAddr], ttl: u32) -> Result<()> {
        self.set(name, ttl, addresses.iter().map(|&ip| RData::from(ip)))
    }

    pub(super) fn set_services(
        &self,
        name: &str,
        services: &[Service<'_>],
        ttl: u32,
    ) -> Result<()> {
        let record = |of: &Service<'_>| {
            let target = Name::from_ascii(of.target)?;
            Ok(RData::SRV(SRV::new(
                of.priority,
                of.weight,
                of.port,
                target,
            )))
        };
        let records: Vec<_> = services.iter().map(record).collect::<Result<_>>()?;
        self.set(name, ttl, records.into_iter())
    }

    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let name = LowerName::from(&full(name)?);
        let known = self.behave(|state| state.records.remove(&name));
        known
            .with_context(|| format!("{name} is not known"))
            .map(drop)
    }

    pub(super) fn behave<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // Nothing panics while it is locked.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state)
    }

    pub(super) fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }

    fn set(&self, name: &str, ttl: u32, records: impl Iterator<Item = RData>) -> Result<()> {
        let name = full(name)?;
        let records = records.map(|data| Record::from_rdata(name.clone(), ttl, data));
        let records = records.collect();
        self.behave(|state| state.records.insert(LowerName::from(&name), records));
        Ok(())
    }
}

impl State {
    fn reply(&self, name: &LowerName, wanted: RecordType) -> Reply {
        let mut reply = Reply {
            code: self.failure.unwrap_or(ResponseCode::NoError),
            answers: Vec::new(),
            additionals: Vec::new(),
        };
        if self.failure.is_some() {
            return reply;
        }
        let Some(records) = self.records.get(name) else {
            reply.code = ResponseCode::NXDomain;
            return reply;
        };
        let answers = records
            .iter()
            .filter(|record| record.record_type() == wanted);
        reply.answers = answers.cloned().collect();
        if self.is_talkative {
            let targets = reply
                .answers
                .iter()
                .filter_map(|record| match &record.data {
                    RData::SRV(srv) => Some(LowerName::from(&srv.target)),
                    _ => None,
                });
            let known = targets.filter_map(|target| self.records.get(&target));
            reply.additionals = known.flatten().cloned().collect();
        }
        reply
    }
}

fn full(name: &str) -> Result<Name> {
    let name = Name::from_ascii(name)?;
    ensure!(name.is_fqdn(), "{name} does not end with a dot");
    Ok(name)
}

/// Answers from the zone.
pub(super) struct Handler(pub(super) Arc<Zone>);

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        self.0.questions.fetch_add(1, Ordering::Relaxed);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let (silent, reply) = self.0.behave(|state| {
            let info = request.request_info().ok();
            let reply = info.map(|info| state.reply(info.query.name(), info.query.query_type()));
            (state.is_silent, reply)
        });
        let nothing = ResponseInfo::from(Header {
            metadata,
            counts: HeaderCounts::default(),
        });
        let (false, Some(reply)) = (silent, reply) else {
            return nothing;
        };
        metadata.response_code = reply.code;
        metadata.authoritative = true;
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &request.edns {
            builder.edns(edns);
        }
        let (answers, additionals) = (reply.answers.iter(), reply.additionals.iter());
        let message = builder.build(metadata, answers, [], [], additionals);
        // Whoever asked may be gone.
        response.send_response(message).await.unwrap_or(nothing)
    }
}
