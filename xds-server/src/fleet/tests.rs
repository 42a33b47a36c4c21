use std::time::Duration;

use sharding::{MemberStreams, Phase};

use super::*;
use crate::ads::support::{CDS, ECDS, EDS, LDS, proxy, snapshot};
use crate::ads::{Proxy, ProxyObserver};

fn report(node: &str, vm: u64) -> Report {
    Report {
        node: node.to_owned(),
        vm,
        epoch: 7,
        ..Report::default()
    }
}

fn soon(now: Instant, ms: u64) -> Instant {
    now + Duration::from_millis(ms)
}

#[test]
fn a_report_replaces_the_last_one_and_a_silent_vm_is_forgotten() {
    let fleet = Fleet::default();
    let now = Instant::now();
    let first = Report {
        open: 5,
        misplaced: 2,
        drained: 100,
        members: vec![MemberStreams {
            id: "m1".to_owned(),
            open: 5,
            ..MemberStreams::default()
        }],
        ..report("a", 1)
    };
    fleet.report(first.clone(), now).unwrap();
    fleet.report(report("a", 2), now).unwrap();
    let totals = fleet.totals(None, now);
    assert_eq!((totals.vms, totals.open, totals.misplaced), (2, 5, 2));
    assert_eq!(totals.drained, 0, "it was before our time");
    assert_eq!(fleet.open_by_member(now)["m1"], 5);

    let second = Report {
        misplaced: 0,
        drained: 102,
        phase: Phase::Released.into(),
        ..first
    };
    fleet.report(second, soon(now, 14_000)).unwrap();
    let later = soon(now, 15_000);
    let view = fleet.view(&Arc::default(), later);
    assert_eq!((view.vms.len(), view.drained), (1, 2));
    assert_eq!(view.vms[0].phase, Phase::Released);
    assert_eq!(fleet.totals(None, soon(now, 29_000)).vms, 0);
}

#[test]
fn each_proxy_sees_once_which_members_are_not_reached_however_many_vms_it_has() {
    let (fleet, now) = (Fleet::default(), Instant::now());
    assert_eq!(fleet.sight(now), Sight::default());
    for (number, node) in ["a", "b", "c"].into_iter().enumerate() {
        fleet.connected(StreamId(number as u64), &proxy(node));
    }
    for (node, vm, id, unreached, slow) in [
        ("a", 1, "m1", 3, 0),
        ("a", 2, "m1", 1, 0),
        ("b", 3, "m1", 1, 1),
        ("b", 4, "m2", 1, 0),
        ("c", 5, "m2", 0, 2),
        ("nobody", 6, "m3", 9, 9),
    ] {
        let members = vec![MemberStreams {
            id: id.to_owned(),
            unreached,
            unanswered: slow,
            ..MemberStreams::default()
        }];
        let report = Report {
            members,
            ..report(node, vm)
        };
        fleet.report(report, now).unwrap();
    }
    let sight = fleet.sight(now);
    let of = ["m1", "m2", "m3"].map(|id| sight.unreached(id));
    assert_eq!(
        (sight.proxies, of),
        (3, [2, 1, 0]),
        "who only reports is nobody"
    );
    assert_eq!(["m1", "m2", "m3"].map(|id| sight.doubted(id)), [2, 2, 0]);
    assert_eq!(fleet.sight(soon(now, 15_000)).proxies, 0);
}

#[test]
fn a_report_that_was_overtaken_is_a_sign_of_life_and_no_news() {
    let fleet = Fleet::default();
    let now = Instant::now();
    let numbered = |sequence, misplaced| Report {
        sequence,
        misplaced,
        ..report("a", 1)
    };
    let misplaced = |now| fleet.totals(None, now).misplaced;
    fleet.report(numbered(2, 0), now).unwrap();
    fleet.report(numbered(1, 3), soon(now, 14_000)).unwrap();
    assert_eq!(misplaced(soon(now, 28_000)), 0);
    assert_eq!(fleet.totals(None, soon(now, 28_000)).vms, 1);
    fleet.report(numbered(3, 4), soon(now, 14_000)).unwrap();
    assert_eq!(misplaced(soon(now, 14_000)), 4);
    fleet.report(numbered(0, 5), soon(now, 14_000)).unwrap();
    assert_eq!(misplaced(soon(now, 14_000)), 5, "it does not count");
}

#[test]
fn a_stopped_drain_is_counted_and_an_unknown_phase_is_hold() {
    let fleet = Fleet::default();
    let now = Instant::now();
    for (vm, phase) in [(1, 2), (2, 77)] {
        let report = Report {
            phase,
            ..report("a", vm)
        };
        fleet.report(report, now).unwrap();
    }
    assert_eq!(fleet.totals(None, now).stopped, 1);
    let view = fleet.view(&Arc::default(), now);
    assert_eq!(view.vms[1].phase, Phase::Hold);
}

#[test]
fn however_much_is_reported_it_has_a_limit_that_time_frees_again() {
    let fleet = Fleet::default();
    let now = Instant::now();
    for vm in 0..256 {
        fleet.report(report("a", vm), now).unwrap();
    }
    let error = fleet.report(report("a", 256), now).unwrap_err();
    assert_eq!(
        error.to_string(),
        "256 VMs of node \"a\" report already, no room for another"
    );
    fleet.report(report("a", 3), now).unwrap();
    for node in 0..4095 {
        fleet.report(report(&format!("n{node}"), 1), now).unwrap();
    }
    let error = fleet.report(report("z", 1), now).unwrap_err();
    assert_eq!(error, ReportRefused::Nodes);
    assert_eq!(fleet.totals(None, now).reports_refused, 2);
    fleet.report(report("z", 1), soon(now, 15_000)).unwrap();
    assert_eq!(fleet.totals(None, soon(now, 15_000)).vms, 1);
}

#[test]
fn texts_are_cut_and_numbers_by_member_are_limited() {
    let fleet = Fleet::default();
    let now = Instant::now();
    let members = |count: usize| -> Vec<MemberStreams> {
        let id = |n| format!("{n}{}", "é".repeat(200));
        let member = |n| MemberStreams {
            id: id(n),
            open: 1,
            ..MemberStreams::default()
        };
        (0..count).map(member).collect()
    };
    let long = Report {
        members: members(3),
        ..report(&"é".repeat(2000), 1)
    };
    fleet.report(long, now).unwrap();
    assert_eq!(fleet.view(&Arc::default(), now).vms[0].node.len(), 1024);
    let open = fleet.open_by_member(now);
    assert!(open.keys().all(|id| id.len() <= 255));
    for vm in 0..30 {
        let wide = Report {
            open: 9,
            members: members(10_000),
            ..report("wide", vm)
        };
        fleet.report(wide, now).unwrap();
    }
    assert_eq!(fleet.totals(None, now).open, 270);
    assert!(
        fleet
            .lock()
            .vms
            .live(now)
            .map(|(_, vm)| vm.report.members.len())
            .sum::<usize>()
            <= 1 << 18
    );
}

#[test]
fn the_node_of_a_stream_without_a_name_is_that_of_its_reports() {
    let fleet = Fleet::default();
    let now = Instant::now();
    let proxy = Proxy::new(None, None, Mode::Delta);
    fleet.connected(StreamId(1), &proxy);
    fleet.report(report("", 1), now).unwrap();
    let view = fleet.view(&Arc::default(), now);
    assert_eq!(view.proxies[0].node, view.vms[0].node);
    fleet.disconnected(StreamId(1), &proxy);
    assert!(fleet.view(&Arc::default(), now).proxies.is_empty());
}

mod suspects {
    use super::*;
    use crate::ads::Holding;
    use crate::ads::progress::Progress;

    const STREAM: StreamId = StreamId(1);

    fn proxy() -> Proxy {
        Proxy::new(None, None, Mode::Delta)
    }

    /// A node whose two VMs report, and whose stream has ended.
    fn left(now: Instant) -> Fleet {
        let fleet = Fleet::default();
        fleet.connected(STREAM, &proxy());
        for vm in [1, 2] {
            fleet.report(report("", vm), now).unwrap();
        }
        fleet.disconnected(STREAM, &proxy());
        fleet
    }

    /// It connects again and asks for its filter.
    fn connect(fleet: &Fleet, is_back: bool) {
        fleet.connected(STREAM, &proxy());
        let mut progress = Progress::default();
        progress.is_back = is_back;
        for kind in [CDS, EDS, ECDS] {
            fleet.holds(STREAM, kind, Holding(&progress), &Arc::default());
        }
    }

    fn vms(fleet: &Fleet, now: Instant) -> usize {
        fleet.view(&Arc::default(), now).vms.len()
    }

    #[test]
    fn a_broken_stream_makes_no_vm_forgotten_that_reports_in_time() {
        let now = Instant::now();
        let fleet = left(now);
        connect(&fleet, true);
        assert_eq!(vms(&fleet, now), 2);
        // One that reports for the first time says nothing of the others.
        fleet.report(report("", 3), soon(now, 100)).unwrap();
        assert_eq!(vms(&fleet, soon(now, 5000)), 3);
        fleet.report(report("", 1), soon(now, 5000)).unwrap();
        assert_eq!(vms(&fleet, soon(now, 5500)), 3);
        assert_eq!(vms(&fleet, soon(now, 7000)), 2, "it is overdue");
    }

    #[test]
    fn a_new_process_ends_the_vms_of_the_one_that_left() {
        let now = Instant::now();
        let fleet = left(now);
        fleet.report(report("b", 1), now).unwrap();
        fleet.report(report("", 2), now).unwrap();
        connect(&fleet, false);
        let view = fleet.view(&Arc::default(), now);
        assert_eq!(
            view.vms.len(),
            2,
            "one that was heard of since, one of another"
        );
        fleet.report(report("", 4), now).unwrap();
        connect(&fleet, false);
        assert_eq!(vms(&fleet, now), 3, "nobody left");
        assert_eq!(fleet.totals(None, now).vms, 3);
    }

    #[test]
    fn a_vm_that_is_heard_of_after_the_break_is_no_suspect() {
        let now = Instant::now();
        let fleet = left(now);
        fleet.report(report("", 2), soon(now, 100)).unwrap();
        let view = fleet.view(&Arc::default(), soon(now, 200));
        let suspects: Vec<_> = view.vms.iter().map(|vm| (vm.vm, vm.is_suspect)).collect();
        assert_eq!(suspects, [(1, true), (2, false)]);
    }

    #[test]
    fn a_proxy_is_back_if_it_brings_anything_along() {
        for is_back in [false, true] {
            let fleet = Fleet::default();
            connect(&fleet, is_back);
            let view = fleet.view(&Arc::default(), Instant::now());
            assert_eq!(view.proxies[0].is_back, is_back);
        }
    }

    #[test]
    fn a_node_that_stays_away_is_forgotten() {
        let now = Instant::now();
        let fleet = left(now);
        assert_eq!(vms(&fleet, soon(now, 5000)), 2);
        assert_eq!(vms(&fleet, soon(now, 7000)), 0);
    }
}

mod coverage {
    use super::*;
    use crate::ads::Holding;
    use crate::ads::progress::Progress;

    /// A proxy that wants everything and has accepted all of `snapshot`.
    fn has(snapshot: &Snapshot, kind: ResourceType) -> Progress {
        let mut progress = Progress::default();
        progress.subscription.set_wildcard(true);
        for resource in snapshot.of(kind).values() {
            progress.adopt(resource.name(), resource.version());
        }
        progress
    }

    fn covers(fleet: &Fleet, snapshot: &Arc<Snapshot>, now: Instant) -> bool {
        fleet.view(snapshot, now).proxies[0].covers
    }

    #[test]
    fn a_proxy_covers_a_snapshot_when_it_has_all_that_routing_needs() {
        let fleet = Fleet::default();
        let first = snapshot(&[(CDS, "c", "1"), (EDS, "c", "1"), (ECDS, "f", "1")]);
        let second = snapshot(&[(CDS, "c", "1"), (EDS, "c", "1"), (ECDS, "f", "2")]);
        let stream = StreamId(1);
        fleet.connected(stream, &Proxy::new(None, None, Mode::Delta));
        let now = Instant::now();
        let tell = |kind, snapshot: &Arc<Snapshot>, held: &Arc<Snapshot>| {
            fleet.holds(stream, kind, Holding(&has(held, kind)), snapshot);
        };
        for kind in [CDS, EDS] {
            tell(kind, &first, &first);
            assert!(!covers(&fleet, &first, now), "it may still ask for more");
        }
        tell(ECDS, &first, &first);
        assert!(covers(&fleet, &first, now));
        tell(LDS, &first, &first);
        assert!(!covers(&fleet, &second, now), "it was not sent yet");
        for kind in [CDS, EDS, ECDS] {
            tell(kind, &second, &first);
        }
        assert!(!covers(&fleet, &second, now));
        tell(ECDS, &second, &second);
        assert!(covers(&fleet, &second, now));
        assert!(!covers(&fleet, &first, now));
    }

    #[test]
    fn a_stream_of_one_type_is_not_waited_for_long() {
        let fleet = Fleet::default();
        let only = snapshot(&[(CDS, "c", "1"), (EDS, "c", "1")]);
        fleet.connected(StreamId(1), &Proxy::new(None, None, Mode::Delta));
        let holding = has(&only, EDS);
        fleet.holds(StreamId(1), EDS, Holding(&holding), &only);
        let now = Instant::now();
        assert!(!covers(&fleet, &only, now));
        assert!(covers(&fleet, &only, soon(now, 1000)));
    }
}
