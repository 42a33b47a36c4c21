//! Members in Kubernetes.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{INTERVALS, Problem, hold_loss, in_range};

/// Longest name of a service, of a namespace or of a port.
const MAX_NAME_LEN: usize = 63;

/// Members behind a service of Kubernetes, as its `EndpointSlices` list them: a
/// member for each pod, of weight 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kubernetes {
    /// Name of the service. Required, unless there is `selector`.
    #[serde(default)]
    pub service: Option<String>,
    /// Labels of the `EndpointSlices`, instead of the service: those of the
    /// service with them are its own labels. Such as `app=yorkie,tier!=test`.
    #[serde(default)]
    pub selector: Option<String>,
    /// Where the service is. Left out, in the namespace of `context`, or of the
    /// control plane's own pod.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Port of the members, by its number or by the name that the service has
    /// for it. Required, unless the service has a single port.
    #[serde(default)]
    pub port: Option<ServicePort>,
    /// Which addresses count, where pods have some of both versions.
    #[serde(default)]
    pub addresses: AddressFamily,
    /// How the cluster is reached from outside, as `kubectl` has it; read for
    /// each connection. It may name a program to run for a token. Left out, the
    /// control plane is a pod of the cluster itself.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// Which context of `kubeconfig`, instead of its current one.
    #[serde(default)]
    pub context: Option<String>,
    /// When more than half of the members are gone at once, two at least, and
    /// nobody has deleted their pods, they are kept until that has lasted so
    /// long: more likely something is wrong. Up to an hour; `0s` takes every
    /// change at once.
    #[serde(default = "hold_loss", with = "humantime_serde")]
    pub hold_loss: Duration,
}

/// Version of the Internet Protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressFamily {
    /// Version 4.
    #[default]
    Ipv4,
    /// Version 6.
    Ipv6,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrName", into = "NumberOrName")]
pub enum ServicePort {
    /// Of the pods, whatever the service says.
    Number(u16),
    /// Wherever the service has it.
    Name(String),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum NumberOrName {
    Number(i64),
    Name(String),
}

impl TryFrom<NumberOrName> for ServicePort {
    type Error = String;

    fn try_from(given: NumberOrName) -> Result<Self, Self::Error> {
        match given {
            NumberOrName::Number(number) => match u16::try_from(number) {
                Ok(port @ 1..) => Ok(Self::Number(port)),
                _ => Err(format!(
                    "port {number} is not usable: expected 1 to 65535, or a name"
                )),
            },
            NumberOrName::Name(name) if is_name(&name) && name.parse::<u64>().is_err() => {
                Ok(Self::Name(name))
            }
            NumberOrName::Name(name) => Err(format!(
                "port {name:?} is not usable: expected a number, or a name such as rpc"
            )),
        }
    }
}

impl From<ServicePort> for NumberOrName {
    fn from(port: ServicePort) -> Self {
        match port {
            ServicePort::Number(number) => Self::Number(number.into()),
            ServicePort::Name(name) => Self::Name(name),
        }
    }
}

impl Kubernetes {
    /// What is followed, for people.
    pub(crate) fn named(&self) -> String {
        let what = match (&self.service, &self.selector) {
            (Some(service), _) => format!("service {service}"),
            (None, selector) => format!("services with {}", selector.as_deref().unwrap_or("")),
        };
        match &self.namespace {
            Some(namespace) => format!("{what} in namespace {namespace}"),
            None => what,
        }
    }

    /// The files that it names, by their settings.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let kubeconfig = self.kubeconfig.iter();
        kubeconfig.map(|path| ("registry.kubernetes.kubeconfig", path))
    }

    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.kubeconfig.iter_mut()
    }
}

pub(super) fn check(kubernetes: &Kubernetes) -> Result<(), Problem> {
    let Kubernetes {
        service,
        selector,
        namespace,
        port: _,
        addresses: _,
        kubeconfig,
        context,
        hold_loss,
    } = kubernetes;
    if service.is_some() == selector.is_some() {
        let reason = "expected without selector, and one of both";
        return Err(("registry.kubernetes.service", reason.to_owned()));
    }
    for (setting, name) in [
        ("registry.kubernetes.service", service),
        ("registry.kubernetes.namespace", namespace),
    ] {
        if let Some(name) = name.as_ref().filter(|name| !is_name(name)) {
            let expected = "expected small letters, digits and -, 63 at most";
            return Err((setting, format!("{name:?} is not usable: {expected}")));
        }
    }
    if selector
        .as_ref()
        .is_some_and(|labels| labels.trim().is_empty())
    {
        let reason = "\"\" is not usable: expected labels, such as app=yorkie";
        return Err(("registry.kubernetes.selector", reason.to_owned()));
    }
    if context.is_some() && kubeconfig.is_none() {
        let reason = "expected with kubeconfig, which has it";
        return Err(("registry.kubernetes.context", reason.to_owned()));
    }
    let holds = Duration::ZERO..=*INTERVALS.end();
    in_range("registry.kubernetes.hold_loss", *hold_loss, &holds)
}

fn is_name(name: &str) -> bool {
    let is_inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let is_edge = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b'-');
    let bytes = name.as_bytes();
    bytes.len() <= MAX_NAME_LEN
        && bytes.iter().all(is_inner)
        && is_edge(bytes.first())
        && is_edge(bytes.last())
}
