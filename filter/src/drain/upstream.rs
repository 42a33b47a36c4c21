//! Where a request went, as its host tells.

use std::net::SocketAddr;

use crate::host::{Host, HostError};

const CLUSTER: [&[&str]; 2] = [&["xds", "cluster_name"], &["cluster_name"]];
const ADDRESS: &[&str] = &["upstream", "address"];

/// Where a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    /// Nowhere yet.
    Nowhere,
    /// To a server of the cluster.
    To(SocketAddr),
    /// To another cluster, or to something that is no member.
    Elsewhere,
}

/// Asks where the current request went; two calls of the host.
///
/// # Errors
/// When the host knows, and does not say.
pub fn went(host: &impl Host, cluster: &str) -> Result<Went, HostError> {
    let Some(name) = first(host, &CLUSTER)? else {
        return Ok(Went::Nowhere);
    };
    if name != cluster.as_bytes() {
        return Ok(Went::Elsewhere);
    }
    Ok(match first(host, &[ADDRESS])? {
        None => Went::Nowhere,
        Some(address) => parse(&address).map_or(Went::Elsewhere, Went::To),
    })
}

/// The first property that there is.
fn first(host: &impl Host, paths: &[&[&str]]) -> Result<Option<Vec<u8>>, HostError> {
    for path in paths {
        match host.property(path) {
            Ok(value) if !value.is_empty() => return Ok(Some(value)),
            Ok(_) | Err(HostError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// In the one spelling that rosters have too.
fn parse(address: &[u8]) -> Option<SocketAddr> {
    let mut address: SocketAddr = str::from_utf8(address).ok()?.parse().ok()?;
    address.set_ip(address.ip().to_canonical());
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::MockHost;

    fn asked(properties: &[(&str, &str)]) -> Went {
        let host = MockHost::default();
        for (path, value) in properties {
            host.property_of(None, path, value);
        }
        went(&host, "yorkie").unwrap()
    }

    #[test]
    fn an_address_is_compared_as_such_and_never_as_text() {
        for (text, expected) in [
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
            ("[2001:db8:0::1]:80", "[2001:db8::1]:80"),
        ] {
            let properties = [("xds.cluster_name", "yorkie"), ("upstream.address", text)];
            assert_eq!(asked(&properties), Went::To(expected.parse().unwrap()));
        }
    }

    #[test]
    fn another_cluster_is_none_of_our_business() {
        let address = ("upstream.address", "10.0.0.1:80");
        assert_eq!(
            asked(&[("xds.cluster_name", "other"), address]),
            Went::Elsewhere
        );
        assert_eq!(
            asked(&[("cluster_name", "other"), address]),
            Went::Elsewhere
        );
        let pipe = ("upstream.address", "/run/server.sock");
        assert_eq!(asked(&[("cluster_name", "yorkie"), pipe]), Went::Elsewhere);
    }

    #[test]
    fn a_request_that_is_not_connected_yet_is_nowhere() {
        assert_eq!(asked(&[]), Went::Nowhere);
        assert_eq!(asked(&[("xds.cluster_name", "yorkie")]), Went::Nowhere);
    }

    #[test]
    fn a_host_that_fails_is_not_taken_for_one_that_does_not_know() {
        let host = MockHost::default();
        host.fail_with(HostError::InternalFailure);
        assert_eq!(went(&host, "yorkie"), Err(HostError::InternalFailure));
    }
}
