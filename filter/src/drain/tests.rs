//! Draining as a VM does it: requests, configurations and ticks come in, and a
//! mock of Envoy remembers what it was asked.

use std::time::Duration;

use sharding::Assignment;

use crate::host::LogLevel;
use crate::mock::MockHost;
use crate::state::Vm;
use crate::stream::{Flow, Stream};

mod anything;
mod handover;
mod reports;
mod trust;

const ROOT: u32 = 1;
const SECOND: Duration = Duration::from_secs(1);
const WATCH: &str = "/yorkie.v1.YorkieService/Watch";
const PUSH: &str = "/yorkie.v1.YorkieService/PushPullChanges";
const HOLD: &str = r#""hold""#;
const AT_ONCE: &str = r#"{"release":{"window_ms":0}}"#;

/// A VM whose members are `a`, `b` and so on.
struct Scene {
    host: MockHost,
    vm: Vm,
}

fn config(epoch: u64, members: &str, drain: &str) -> String {
    let members: Vec<_> = members
        .chars()
        .map(|id| {
            let port = u32::from(id);
            format!(r#"{{"id":"{id}","address":"127.0.0.1:{port}","weight":1}}"#)
        })
        .collect();
    format!(
        r#"{{"format":1,"epoch":{epoch},"cluster":"c","policy":"maglev:251","report_to":"xds","drain":{drain},"members":[{}]}}"#,
        members.join(",")
    )
}

fn address(member: char) -> String {
    format!("127.0.0.1:{}", u32::from(member))
}

fn key(number: u32) -> String {
    format!("p/document-{number}")
}

impl Scene {
    fn new(members: &str) -> Self {
        let scene = Self {
            host: MockHost::default(),
            vm: Vm::new(),
        };
        scene.assign(1, members, AT_ONCE);
        scene
    }

    fn assign(&self, epoch: u64, members: &str, drain: &str) {
        self.host.configuration(&config(epoch, members, drain));
        self.host.in_callback_of(ROOT);
        assert!(self.vm.configure(&self.host, ROOT).can_serve);
    }

    fn tick(&self, after: Duration) {
        self.host.pass(after);
        self.host.in_callback_of(ROOT);
        self.vm.tick(&self.host, ROOT);
    }

    fn assignment(&self) -> std::rc::Rc<Assignment> {
        let current = self.vm.current().unwrap();
        current.assignment.clone().unwrap()
    }

    fn owner(&self, key: &str) -> char {
        let assignment = self.assignment();
        let owner = assignment.owner(key.as_bytes()).unwrap();
        owner.member.id.chars().next().unwrap()
    }

    /// A request that is routed, and goes to the owner of its key.
    fn send(&self, id: u32, path: &str, key: &str) -> Stream {
        self.send_with(id, path, key, &[])
    }

    fn send_with(&self, id: u32, path: &str, key: &str, more: &[(&str, &str)]) -> Stream {
        let headers = [(":method", "POST"), (":path", path), ("x-shard-key", key)];
        self.host.request(&[headers.as_slice(), more].concat());
        self.host.in_callback_of(id);
        let mut stream = Stream::new(id, ROOT, false);
        let flow = stream.request_headers(&self.vm, &self.host, true);
        assert_eq!(flow, Flow::Continue);
        self.goes_to(id, "c", &address(self.owner(key)));
        stream
    }

    fn goes_to(&self, id: u32, cluster: &str, address: &str) {
        self.host.property_of(Some(id), "xds.cluster_name", cluster);
        self.host.property_of(Some(id), "upstream.address", address);
    }

    fn answer(&self, id: u32, stream: &mut Stream) {
        self.host.in_callback_of(id);
        stream.response_headers(&self.vm, &self.host, 9, false);
    }

    /// A stream that is open on the owner of its key.
    fn watch(&self, id: u32, key: &str) -> Stream {
        let mut stream = self.send(id, WATCH, key);
        self.answer(id, &mut stream);
        stream
    }

    /// Like [`Scene::watch`] for that many documents, with ids from 100 on.
    fn watches(&self, count: u32) -> Vec<Stream> {
        (0..count).map(|n| self.watch(100 + n, &key(n))).collect()
    }

    /// Of those watches the ones whose key `before` was another's.
    fn moved(&self, before: &Assignment, count: u32) -> Vec<u32> {
        let after = self.assignment();
        let id = |assignment: &Assignment, n| {
            let owner = assignment.owner(key(n).as_bytes()).unwrap();
            owner.member.id.clone()
        };
        let moved = (0..count).filter(|n| id(before, *n) != id(&after, *n));
        moved.map(|n| 100 + n).collect()
    }

    /// What was reset since last asked, in order of ids.
    fn resets(&self) -> Vec<u32> {
        let mut resets = self.host.take_resets();
        resets.sort_unstable();
        resets
    }

    fn expect_no_resets(&self) {
        assert!(self.resets().is_empty());
    }

    fn counted(&self, name: &str) -> u64 {
        self.tick(Duration::ZERO);
        self.host.counter(name)
    }
}

#[test]
fn exactly_the_streams_that_moved_end_on_release_and_none_before() {
    let scene = Scene::new("ab");
    let before = scene.assignment();
    let _streams = scene.watches(60);
    scene.assign(2, "abc", HOLD);
    for _ in 0..10 {
        scene.tick(SECOND);
    }
    let moved = scene.moved(&before, 60);
    assert!(moved.len() > 10 && moved.len() < 32, "{}", moved.len());
    scene.expect_no_resets();
    assert_eq!(
        scene.host.gauge("yorkies.misplaced_streams"),
        moved.len() as u64
    );
    assert_eq!(scene.host.gauge("yorkies.open_streams"), 60);

    scene.assign(2, "abc", AT_ONCE);
    assert_eq!(scene.resets(), moved, "before the first tick");
    for _ in 0..10 {
        scene.tick(SECOND);
    }
    scene.expect_no_resets();
    assert_eq!(scene.host.gauge("yorkies.misplaced_streams"), 0);
    assert_eq!(
        scene.host.gauge("yorkies.open_streams"),
        60 - moved.len() as u64
    );
    assert_eq!(scene.counted("yorkies.drained.reset"), moved.len() as u64);
    assert_eq!(scene.host.entered(), Some(ROOT), "it has come back");
    assert_eq!(scene.counted("yorkies.host.errors"), 0);
}

#[test]
fn at_most_32_end_in_one_call_and_the_next_is_soon() {
    let scene = Scene::new("a");
    let _streams = scene.watches(70);
    scene.assign(2, "b", AT_ONCE);
    assert_eq!(scene.resets().len(), 32);
    assert_eq!(scene.host.tick_period(), Some(Duration::from_millis(1)));
    scene.tick(Duration::from_millis(1));
    assert_eq!(scene.resets().len(), 32);
    scene.tick(Duration::from_millis(1));
    assert_eq!(scene.resets().len(), 6);
    assert_eq!(scene.host.tick_period(), Some(SECOND));
    assert_eq!(scene.host.gauge("yorkies.open_streams"), 0);
}

#[test]
fn the_root_of_another_listener_changes_nothing() {
    let scene = Scene::new("a");
    let _streams = scene.watches(70);
    scene.assign(2, "b", AT_ONCE);
    scene.host.in_callback_of(2);
    scene.vm.configure(&scene.host, 2);
    assert_eq!(scene.host.entered(), Some(2), "it has come back");
    assert_eq!(scene.host.tick_period(), Some(Duration::from_millis(1)));
    assert_eq!(scene.resets().len(), 32);
    scene.tick(Duration::from_millis(1));
    assert_eq!(scene.resets().len(), 32);
}

#[test]
fn a_call_is_as_old_as_it_is_in_a_vm_that_had_none_before() {
    let scene = Scene::new("a");
    scene.host.pass(SECOND * 100);
    let mut call = scene.send(10, PUSH, "p/d");
    scene.assign(2, "b", AT_ONCE);
    scene.tick(SECOND);
    scene.answer(10, &mut call);
    scene.tick(SECOND * 28);
    scene.expect_no_resets();
    scene.tick(SECOND);
    assert_eq!(scene.resets(), [10]);
}

#[test]
fn watchers_of_one_document_leave_together_and_documents_one_after_another() {
    let scene = Scene::new("a");
    let _streams: Vec<_> = (0..40)
        .map(|id| scene.watch(100 + id, &key(id % 4)))
        .collect();
    scene.assign(2, "b", r#"{"release":{"window_ms":500}}"#);
    let mut groups = Vec::new();
    for _ in 0..500 {
        scene.tick(scene.host.tick_period().unwrap());
        let ended = scene.resets();
        if !ended.is_empty() {
            groups.push(ended);
        }
    }
    assert_eq!(groups.len(), 4, "{groups:?}");
    for group in groups {
        assert_eq!(group.len(), 10, "{group:?}");
        assert!(group.iter().all(|id| id % 4 == group[0] % 4), "{group:?}");
    }
}

#[test]
fn a_stream_that_waits_for_its_response_is_answered_in_its_protocol() {
    let scene = Scene::new("a");
    let grpc = [("content-type", "application/grpc")];
    let mut stream = scene.send_with(10, WATCH, "p/d", &grpc);
    // Nobody knows yet where this one is.
    let _connecting = scene.send(11, WATCH, "p/d");
    scene.goes_to(11, "", "");
    scene.assign(2, "b", AT_ONCE);
    let replies = scene.host.take_replies();
    let [(Some(10), reply)] = &replies[..] else {
        panic!("{replies:?}");
    };
    assert_eq!((reply.grpc_status, reply.details), (14, "yorkies_moved"));
    // The reply itself is a response.
    scene.answer(10, &mut stream);
    scene.tick(SECOND);
    assert_eq!(scene.host.take_replies(), []);

    scene.goes_to(11, "c", &address('a'));
    scene.tick(SECOND);
    assert_eq!(scene.host.take_replies().len(), 1);
    scene.expect_no_resets();
    assert_eq!(scene.counted("yorkies.drained.answered"), 2);
}

#[test]
fn unary_calls_finish_unless_they_are_open_for_too_long() {
    let scene = Scene::new("a");
    let mut call = scene.send(10, PUSH, "p/d");
    scene.assign(2, "b", AT_ONCE);
    for _ in 0..29 {
        scene.tick(SECOND);
    }
    scene.answer(10, &mut call);
    scene.expect_no_resets();
    scene.tick(SECOND);
    assert_eq!(scene.resets(), [10]);
    assert_eq!(scene.host.take_replies(), []);
}

#[test]
fn an_upgrade_is_a_stream_whatever_its_path_says() {
    let scene = Scene::new("a");
    let mut socket = scene.send_with(10, PUSH, "p/d", &[("upgrade", "websocket")]);
    scene.answer(10, &mut socket);
    scene.assign(2, "b", AT_ONCE);
    assert_eq!(scene.resets(), [10]);
}

#[test]
fn a_stream_that_has_ended_by_itself_is_not_touched() {
    let scene = Scene::new("a");
    let mut streams = scene.watches(3);
    scene.assign(2, "b", r#"{"release":{"window_ms":5000}}"#);
    streams[1].end(&scene.vm);
    for _ in 0..6 {
        scene.tick(SECOND);
    }
    assert_eq!(scene.resets(), [100, 102]);
}

#[test]
fn streams_of_another_cluster_are_none_of_our_business() {
    let scene = Scene::new("a");
    let mut stream = scene.send(10, WATCH, "p/d");
    scene.goes_to(10, "other", &address('a'));
    scene.answer(10, &mut stream);
    let _waiting = scene.send(11, WATCH, "p/d");
    scene.goes_to(11, "other", &address('a'));
    scene.assign(2, "b", AT_ONCE);
    scene.tick(SECOND);
    scene.expect_no_resets();
    assert_eq!(scene.host.take_replies(), []);
    assert_eq!(scene.host.gauge("yorkies.open_streams"), 0);
}

#[test]
fn a_member_that_serves_elsewhere_now_loses_its_streams() {
    let scene = Scene::new("a");
    let _streams = scene.watches(2);
    let moved = config(2, "a", AT_ONCE).replace(&address('a'), "127.0.0.1:9");
    scene.host.configuration(&moved);
    scene.host.in_callback_of(ROOT);
    scene.vm.configure(&scene.host, ROOT);
    assert_eq!(scene.resets(), [100, 101]);
}

#[test]
fn another_permission_keeps_the_table_and_what_was_released_stays_so() {
    let scene = Scene::new("ab");
    let _streams = scene.watches(8);
    scene.assign(2, "abc", HOLD);
    let table = scene.assignment();
    scene.assign(2, "abc", r#"{"release":{"window_ms":60000}}"#);
    scene.tick(SECOND * 50);
    scene.assign(2, "abc", HOLD);
    assert!(std::rc::Rc::ptr_eq(&table, &scene.assignment()));
    scene.assign(2, "abc", r#"{"release":{"window_ms":60000}}"#);
    for _ in 0..12 {
        scene.tick(SECOND);
    }
    assert_eq!(scene.host.gauge("yorkies.misplaced_streams"), 0);
    assert!(!scene.resets().is_empty());
}

#[test]
fn back_before_the_release_nobody_has_lost_anything() {
    let scene = Scene::new("ab");
    let _streams = scene.watches(30);
    scene.assign(2, "abc", HOLD);
    scene.assign(3, "ab", AT_ONCE);
    scene.tick(SECOND);
    scene.expect_no_resets();
}

#[test]
fn a_request_costs_no_host_call_for_it_and_a_stream_two() {
    let scene = Scene::new("a");
    let _first = scene.send(9, PUSH, "p/d");
    assert_eq!(scene.host.calls(), 6, "the tick begins");
    let mut call = scene.send(10, PUSH, "p/d");
    assert_eq!(scene.host.calls(), 4);
    scene.answer(10, &mut call);
    assert_eq!(scene.host.calls(), 6, "the sample of this second");
    let mut call = scene.send(11, PUSH, "p/d");
    scene.answer(11, &mut call);
    call.end(&scene.vm);
    assert_eq!(scene.host.calls(), 4);
    let mut stream = scene.send(12, WATCH, "p/d");
    scene.answer(12, &mut stream);
    assert_eq!(scene.host.calls(), 6);
}

#[test]
fn a_context_that_is_gone_is_not_asked_twice() {
    let scene = Scene::new("a");
    let _streams = scene.watches(2);
    scene.host.gone(100);
    scene.assign(2, "b", AT_ONCE);
    scene.tick(SECOND);
    assert_eq!(scene.resets(), [101]);
    assert_eq!(scene.counted("yorkies.host.errors"), 1);
    assert_eq!(scene.counted("yorkies.drained.reset"), 1);
}

#[test]
fn a_crash_counts_the_streams_that_it_leaves_behind() {
    let scene = Scene::new("ab");
    let mut streams = scene.watches(5);
    let _call = scene.send(10, PUSH, "p/d");
    streams[0].end(&scene.vm);
    scene.tick(SECOND);
    assert_eq!(scene.host.gauge("yorkies.open_streams"), 4);
    scene.vm.crashed(&scene.host);
    assert_eq!(scene.host.counter("yorkies.streams_orphaned"), 4);
    assert_eq!(scene.host.gauge("yorkies.open_streams"), 0);
    assert_eq!(
        scene.host.logged(LogLevel::Critical),
        ["yorkies: 4 open streams are left without a filter that could end them"]
    );
}
