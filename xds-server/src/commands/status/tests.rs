use std::collections::BTreeMap;

use super::*;
use crate::api::{
    MemberStatus, NackStatus, ProxyStatus, StreamStatus, TypeState, TypeStatus, VmPhase, VmStatus,
};
use crate::rebalance::{Cause, PlanSummary, Reason};

fn record(outcome: Outcome) -> Record {
    Record {
        epoch: 7,
        started_unix_ms: 10_000,
        changes: vec![Change {
            cause: Cause::Added,
            member: Some("m3".to_owned()),
        }],
        settle_ms: 250,
        hold_ms: Some(30),
        drain_ms: Some(60),
        window_ms: Some(50),
        plan: Some(PlanSummary {
            moved: 0.25,
            split_ms: Some(70),
            ..PlanSummary::default()
        }),
        drained: 12,
        outcome: Some(outcome),
        left_behind: Vec::new(),
        missing: Vec::new(),
    }
}

fn vm(phase: VmPhase) -> VmStatus {
    VmStatus {
        vm: "1".to_owned(),
        epoch: 7,
        phase,
        open: 5,
        misplaced: 1,
        drained: 2,
        refused: 0,
        mismatched: 0,
        silent_ms: 0,
    }
}

fn stream(current: bool) -> StreamStatus {
    StreamStatus {
        id: "1".to_owned(),
        address: None,
        software: "envoy 1.40.0".to_owned(),
        mode: "delta".to_owned(),
        current,
        types: BTreeMap::new(),
    }
}

fn status() -> Status {
    Status {
        version: "1".to_owned(),
        stage: Stage::Stable,
        pending: false,
        epoch: Some(7),
        policy: Some(sharding::Policy::default()),
        drain: None,
        members: vec![MemberStatus {
            id: "m1".to_owned(),
            address: ([127, 0, 0, 1], 1).into(),
            weight: 2,
            incarnation: None,
            zone: None,
            share: Some(0.5),
            open: 9,
            state: MemberState::Serving,
            why: None,
        }],
        proxies: vec![ProxyStatus {
            node: "edge\x1b[2J".to_owned(),
            streams: vec![stream(true)],
            vms: vec![vm(VmPhase::Released), vm(VmPhase::Released)],
        }],
        unreported: false,
        rebalance: None,
        last: vec![record(Outcome::Done).into()],
    }
}

#[test]
fn one_screen_has_members_proxies_and_what_was() {
    let text = screen(&status(), 22_500);
    let expected = "\
epoch 7, maglev:65537
stable

  MEMBER  ADDRESS      WEIGHT    KEYS  OPEN STREAMS
  m1      127.0.0.1:1       2  50.0 %             9

  PROXY     VERSION       XDS    UPDATE    VMS   EPOCH  OPEN  MISPLACED  DRAINED
  edge [2J  envoy 1.40.0  delta  accepted    2  newest    10          2        4

  REBALANCE  WHAT CHANGED   MOVED  DRAINED  LONGEST SPLIT  0 MISPLACED AFTER
  12s ago    added m3      25.0 %       12          80 ms              90 ms
";
    assert_eq!(text, expected);
}

fn of(state: TypeState, nack: Option<NackStatus>) -> TypeStatus {
    TypeStatus {
        state,
        sent: None,
        accepted: None,
        nack,
    }
}

#[test]
fn proxies_are_shown_by_type() {
    let nack = NackStatus {
        kind: "lds".to_owned(),
        version: "x".to_owned(),
        reason: "no file".to_owned(),
        times: 1,
        mended: false,
    };
    let types = [
        ("cds", of(TypeState::Synced, None)),
        ("eds", of(TypeState::Stale, None)),
        ("lds", of(TypeState::Rejected, Some(nack))),
        ("ecds", of(TypeState::NotSent, None)),
    ];
    let mut status = status();
    status.proxies[0].streams[0].types = types.map(|(kind, of)| (kind.to_owned(), of)).into();
    status.proxies.push(ProxyStatus {
        node: "away".to_owned(),
        streams: Vec::new(),
        vms: Vec::new(),
    });
    let expected = "  \
PROXY     VERSION        XDS    CDS     EDS    LDS       RDS        ECDS
  edge [2J  envoy 1.40.0   delta  synced  stale  rejected  not asked  not sent
  away      not connected

edge [2J: rejected lds x: no file
";
    assert_eq!(by_type::by_type(&status), expected);
    status.proxies[0].streams[0].current = false;
    status.proxies[0].streams[0].types.remove("lds");
    let text = screen(&status, 22_500);
    assert!(text.contains("behind: eds "), "{text}");
}

#[test]
fn what_is_wrong_is_said() {
    let mut status = status();
    let nack = NackStatus {
        kind: "ecds".to_owned(),
        version: "x".to_owned(),
        reason: "no\nmodule".to_owned(),
        times: 3,
        mended: false,
    };
    let ecds = TypeStatus {
        state: TypeState::Rejected,
        sent: Some("x".to_owned()),
        accepted: None,
        nack: Some(nack),
    };
    status.proxies[0].streams.push(StreamStatus {
        types: BTreeMap::from([("ecds".to_owned(), ecds)]),
        ..stream(false)
    });
    status.proxies[0].vms[0].phase = VmPhase::Stopped;
    status.proxies.push(ProxyStatus {
        node: "away".to_owned(),
        streams: Vec::new(),
        vms: Vec::new(),
    });
    let behind = |reason| Behind {
        node: "b".to_owned(),
        reason,
    };
    let mut late = record(Outcome::Incomplete);
    late.missing = vec![behind(Reason::Misplaced { streams: 3 }); 5];
    late.left_behind = vec![behind(Reason::Gone)];
    status.last.push(late.into());
    status.unreported = true;
    let text = screen(&status, 22_500);
    for part in [
        "rejected ecds x (3 times): no module",
        "STOPPED: predictions are wrong",
        "not connected",
        "no VM reports: releases rest on accepted updates alone",
        "missing: b (3 misplaced), b (3 misplaced), b (3 misplaced), 2 more; left behind: b (gone)",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn a_rebalance_under_way_says_whom_it_waits_for() {
    let mut status = status();
    status.stage = Stage::Holding;
    status.pending = true;
    let mut underway = record(Outcome::Done);
    (underway.outcome, underway.window_ms) = (None, None);
    underway.left_behind = vec![Behind {
        node: "b".to_owned(),
        reason: Reason::NotAccepted,
    }];
    status.rebalance = Some(underway.into());
    let text = screen(&status, 0);
    assert!(
        text.contains("holding for 30 ms, until all proxies route by it; waits for b (update not accepted) (added m3; a document is split for 70 ms at most); another change waits"),
        "{text}"
    );
}

#[test]
fn before_the_first_roster_it_says_so() {
    let status = Status {
        epoch: None,
        policy: None,
        members: Vec::new(),
        proxies: Vec::new(),
        last: Vec::new(),
        ..status()
    };
    assert_eq!(
        screen(&status, 0),
        "xds-server 1: waits for a first roster\n"
    );
}
