//! Resources that are not for everybody.

use super::*;
use crate::ads::observer::Proxy;
use crate::ads::support::proxy;
use crate::snapshot::{Audience, Resource};

fn with_audience(audience: Audience) -> Arc<Snapshot> {
    let hidden = Resource::new("hidden", "hidden".as_bytes()).for_audience(audience);
    let open = Resource::new("open", "open".as_bytes());
    Arc::new(Snapshot::new([(LDS, hidden), (LDS, open)]))
}

#[test]
fn what_is_for_those_who_name_it_is_not_part_of_everything() {
    let now = with_audience(Audience::ByName);
    for all in [&[][..], &["*"]] {
        let mut session = session();
        let response = accepted(&mut session, LDS, all, &now);
        assert_eq!(told(&[response]), [texts(LDS, &["open"])]);
    }
    let mut session = session();
    let both = accepted(&mut session, LDS, &["*", "hidden"], &now);
    let expected = [texts(LDS, &["hidden", "open"])];
    assert_eq!(told(std::slice::from_ref(&both)), expected);
    let turn = session.on_request(ack(&both, &["*"]), &now);
    assert_eq!(told(&turn.responses), [texts(LDS, &["open"])]);
}

#[test]
fn what_needs_hash_keys_does_not_exist_for_those_that_read_none() {
    let (any, keyed) = (
        with_audience(Audience::ByName),
        with_audience(Audience::ByNameWithHashKey),
    );
    for reads_hash_key in [false, true] {
        let mut session = session();
        let proxy = Proxy {
            reads_hash_key,
            ..proxy("p")
        };
        session.introduce(&proxy, 0);
        let first = accepted(&mut session, LDS, &["hidden"], &any);
        assert_eq!(told(&[first]), [texts(LDS, &["hidden"])]);
        let gone: &[_] = if reads_hash_key {
            &[]
        } else {
            &[texts(LDS, &[])]
        };
        assert_eq!(told(&session.on_snapshot(&keyed)), gone);
        let subscription = &session.progress(LDS).subscription;
        let denied = subscription.denied(keyed.of(LDS)).map(Published::name);
        assert_eq!(denied.is_some(), !reads_hash_key);
        let back: &[_] = if reads_hash_key {
            &[]
        } else {
            &[texts(LDS, &["hidden"])]
        };
        assert_eq!(told(&session.on_snapshot(&any)), back);
    }
}
