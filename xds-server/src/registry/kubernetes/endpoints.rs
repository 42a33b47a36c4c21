//! From the endpoints of a slice to members that they may be.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use sharding::{Member, Roster};

use super::slices::Refused;
use crate::config::{AddressFamily, Health, Kubernetes, ServicePort};

/// How endpoints are read.
#[derive(Debug)]
pub(super) struct Reading {
    port: Option<ServicePort>,
    family: AddressFamily,
    /// Whether an endpoint that is not ready is no member. Where members are
    /// checked that decides: a member that left the registry for a moment would
    /// not be let back in the same incarnation.
    ready_only: bool,
    /// Whether the uid of a pod tells one run from the next. Servers that are
    /// asked for it themselves know better: a container can be started again in
    /// its pod.
    uid_is_incarnation: bool,
}

/// An endpoint, as a member that it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) member: Member,
    /// Which pod of that name it is.
    pub(super) uid: Option<String>,
    pub(super) is_ready: bool,
    pub(super) is_terminating: bool,
    /// The slice that it is from.
    pub(super) slice: String,
    /// In which order slices were written.
    pub(super) written: u64,
}

/// What tells an endpoint from others: id, uid and address.
pub(super) type Which = (String, Option<String>, SocketAddr);

impl Candidate {
    /// Which endpoint this is, in whatever slice.
    pub(super) fn which(&self) -> Which {
        (
            self.member.id.clone(),
            self.uid.clone(),
            self.member.address,
        )
    }
}

impl Reading {
    pub(super) fn new(settings: &Kubernetes, health: Option<&Health>) -> Self {
        let asks_servers = health.is_some_and(|health| health.incarnation.is_some());
        Self {
            port: settings.port.clone(),
            family: settings.addresses,
            ready_only: health.is_none(),
            uid_is_incarnation: !asks_servers,
        }
    }

    /// Whether it may serve as far as Kubernetes knows.
    pub(super) fn counts(&self, candidate: &Candidate) -> bool {
        candidate.is_ready || !self.ready_only
    }

    /// The endpoints of a slice, those that are no members but for their reason.
    pub(super) fn candidates(
        &self,
        name: &str,
        slice: &EndpointSlice,
    ) -> (Vec<Candidate>, Vec<Refused>) {
        let refused = |reason: String| Refused {
            slice: name.to_owned(),
            reason,
        };
        // The controller leaves a slice without endpoints, and without ports, behind.
        if slice.endpoints.is_empty() {
            return (Vec::new(), Vec::new());
        }
        match (slice.address_type.as_str(), self.family) {
            ("IPv4", AddressFamily::Ipv4) | ("IPv6", AddressFamily::Ipv6) => {}
            ("IPv4" | "IPv6", _) => return (Vec::new(), Vec::new()),
            (other, _) => {
                let reason = format!("address type {other:?}: expected IPv4 or IPv6");
                return (Vec::new(), vec![refused(reason)]);
            }
        }
        let port = match self.port(slice.ports.as_deref().unwrap_or_default()) {
            Ok(port) => port,
            Err(reason) => return (Vec::new(), vec![refused(reason)]),
        };
        let version = slice.metadata.resource_version.as_deref();
        let written = version.and_then(|version| version.parse().ok());
        let (mut candidates, mut all_refused) = (Vec::new(), Vec::new());
        for endpoint in &slice.endpoints {
            match self.member(endpoint, port) {
                Ok(member) => candidates.push(Candidate {
                    member,
                    uid: pod(endpoint).and_then(|pod| pod.uid.clone()),
                    is_ready: is(endpoint, |conditions| conditions.ready, true),
                    is_terminating: is(endpoint, |conditions| conditions.terminating, false),
                    slice: name.to_owned(),
                    written: written.unwrap_or_default(),
                }),
                Err(reason) => all_refused.push(refused(reason)),
            }
        }
        (candidates, all_refused)
    }

    fn port(&self, ports: &[EndpointPort]) -> Result<u16, String> {
        let name = |port: &EndpointPort| port.name.clone().unwrap_or_default();
        let tcp: Vec<_> = ports
            .iter()
            .filter(|port| matches!(port.protocol.as_deref(), None | Some("TCP")))
            .collect();
        let number = match (&self.port, tcp.as_slice()) {
            (Some(ServicePort::Number(number)), _) => return Ok(*number),
            (Some(ServicePort::Name(wanted)), tcp) => {
                let named = tcp.iter().find(|port| name(port) == *wanted);
                named.and_then(|port| port.port)
            }
            (None, [port]) => port.port,
            (None, _) => None,
        };
        let usable = number.and_then(|number| u16::try_from(number).ok());
        usable.filter(|port| *port != 0).ok_or_else(|| {
            let number =
                |port: &EndpointPort| port.port.map_or("any".to_owned(), |n| n.to_string());
            let there: Vec<_> = tcp
                .iter()
                .map(|port| format!("{:?}: {}", name(port), number(port)))
                .collect();
            let there = there.join(", ");
            match &self.port {
                Some(ServicePort::Name(wanted)) => {
                    format!("no TCP port is named {wanted:?}: there are {{{there}}}")
                }
                _ => format!(
                    "TCP ports {{{there}}}: expected one, or registry.kubernetes.port to say which"
                ),
            }
        })
    }

    fn member(&self, endpoint: &Endpoint, port: u16) -> Result<Member, String> {
        // Those beyond the first mean nothing, and there are none in practice.
        let text = endpoint.addresses.first().map_or("", String::as_str);
        let ip: IpAddr = text
            .parse()
            .map_err(|_| format!("address {text:?}: expected an IP address"))?;
        let address = SocketAddr::new(ip, port);
        let pod = pod(endpoint);
        let name = pod.and_then(|pod| pod.name.clone());
        let id = name.unwrap_or_else(|| address.to_string());
        let uid = pod.and_then(|pod| pod.uid.clone());
        let member = Member {
            incarnation: uid.filter(|_| self.uid_is_incarnation),
            zone: endpoint.zone.clone(),
            ..Member::new(id, address, 1)
        };
        // Of what can be wrong with a roster, most is wrong with one member.
        let alone = Roster::new(vec![member]).map_err(|error| error.to_string())?;
        Vec::from(alone).pop().ok_or_else(String::new)
    }
}

fn pod(endpoint: &Endpoint) -> Option<&ObjectReference> {
    let target = endpoint.target_ref.as_ref();
    target.filter(|target| target.kind.as_deref() == Some("Pod"))
}

fn is(
    endpoint: &Endpoint,
    condition: impl Fn(&EndpointConditions) -> Option<bool>,
    left_out: bool,
) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions.and_then(condition).unwrap_or(left_out)
}
