//! Random histories of a proxy, a server and the network between them, against
//! what has to be true whatever happened: in the end the proxy has exactly
//! what it wants, nobody talks any more, and a restarted server has nothing to
//! add.
//!
//! The proxy does what Envoy does with clusters and endpoints, and with listeners
//! and routes: it asks for the endpoints of the clusters that it has, and a cluster
//! that is new or changed warms until endpoints come; it asks for the routes of
//! its listeners, which a changed listener goes on with. Of a filter it remembers the last bytes that it
//! saw, refused or not, and accepts them again without looking at them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use proptest::prelude::*;

use crate::ads::observer::Holding;
use crate::ads::session::{Session, StreamId};
use crate::ads::support::{CDS, ECDS, EDS, LDS, RDS, proxy, snapshot_of_variable};
use crate::snapshot::{Published, ResourceType, Snapshot};

mod delta;
mod sotw;

/// The types of the model, in the order in which Envoy subscribes to them.
const KINDS: [ResourceType; 5] = ResourceType::ALL;

/// Those that a proxy asks for by names that follow from what else it has.
const DEPENDENT: [ResourceType; 2] = [EDS, RDS];

/// What a proxy wants of these, by type.
type Interest = BTreeMap<ResourceType, BTreeSet<String>>;

/// A content that the proxy refuses, until it is mended.
const BAD: &str = "bad";

/// More messages than any history of the model needs to come to rest.
const TOO_MANY: usize = 500;

/// What the proxy has.
#[derive(Debug, Default)]
struct Held {
    clusters: BTreeMap<String, String>,
    warming: BTreeSet<String>,
    endpoints: BTreeMap<String, String>,
    /// Clusters that changed again, or lost their stream, while they warmed.
    interrupted: BTreeSet<String>,
    /// Clusters that may warm until Envoy gives up and takes the endpoints that
    /// it has. They changed and changed back, and before endpoints came it lost
    /// its stream or had refused those in between: then it shows the versions
    /// of one who has them all.
    patient: BTreeSet<String>,
    /// Names whose endpoints it wants without a cluster.
    extra: BTreeSet<String>,
    listeners: BTreeMap<String, String>,
    routes: BTreeMap<String, String>,
    filter: Option<String>,
    /// The last bytes of a filter.
    seen: Option<String>,
    /// Whether it refuses nothing any more.
    mended: bool,
}

impl Held {
    fn refuses(&self, content: &str) -> bool {
        content == BAD && !self.mended
    }

    /// Takes in the bytes of a filter; `None` when they are the last ones again.
    fn look_at(&mut self, bytes: &str) -> Option<String> {
        let is_same = self.seen.as_deref() == Some(bytes);
        self.seen = Some(bytes.to_owned());
        let content = bytes.split(' ').next().unwrap_or_default();
        (!is_same).then(|| content.to_owned())
    }

    /// The names that it asks for; none for a type of which it takes all.
    fn wanted(&self, kind: ResourceType) -> Option<BTreeSet<String>> {
        match kind {
            CDS | LDS => None,
            EDS => Some(self.clusters.keys().chain(&self.extra).cloned().collect()),
            RDS => Some(self.listeners.keys().cloned().collect()),
            ECDS => Some(BTreeSet::from(["f".to_owned()])),
        }
    }

    fn wants(&self, kind: ResourceType, name: &str) -> bool {
        self.wanted(kind).is_none_or(|wanted| wanted.contains(name))
    }

    fn interest(&self) -> Interest {
        let of = |kind| Some((kind, self.wanted(kind)?));
        DEPENDENT.into_iter().filter_map(of).collect()
    }

    fn set(&mut self, kind: ResourceType, name: &str, content: &str) {
        let name = name.to_owned();
        let content = content.to_owned();
        match kind {
            CDS => {
                if self.clusters.get(&name) != Some(&content) {
                    if !self.warming.insert(name.clone()) {
                        self.interrupted.insert(name.clone());
                    }
                    self.clusters.insert(name, content);
                }
            }
            EDS if self.wants(EDS, &name) => {
                self.warming.remove(&name);
                self.interrupted.remove(&name);
                self.patient.remove(&name);
                self.endpoints.insert(name, content);
            }
            LDS => drop(self.listeners.insert(name, content)),
            RDS if self.wants(RDS, &name) => drop(self.routes.insert(name, content)),
            EDS | RDS => {}
            ECDS => self.filter = Some(content),
        }
    }

    fn remove(&mut self, kind: ResourceType, name: &str) {
        match kind {
            CDS => {
                self.clusters.remove(name);
                self.warming.remove(name);
            }
            EDS => {
                self.warming.remove(name);
                self.endpoints.remove(name);
            }
            LDS => drop(self.listeners.remove(name)),
            RDS => drop(self.routes.remove(name)),
            ECDS => (self.filter, self.seen) = (None, None),
        }
        self.forget_unwanted();
    }

    fn forget_unwanted(&mut self) {
        let wanted = self.interest();
        self.endpoints.retain(|name, _| wanted[&EDS].contains(name));
        self.routes.retain(|name, _| wanted[&RDS].contains(name));
    }

    /// The names of what it has all of.
    fn of_full_state(&self, kind: ResourceType) -> Vec<String> {
        let all = if kind == CDS {
            &self.clusters
        } else {
            &self.listeners
        };
        all.keys().cloned().collect()
    }

    fn stream_lost(&mut self) {
        for name in &self.warming {
            if !self.interrupted.insert(name.clone()) {
                self.patient.insert(name.clone());
            }
        }
    }

    fn toggle_extra(&mut self) {
        if !self.extra.remove("x") {
            self.extra.insert("x".to_owned());
        }
        self.forget_unwanted();
    }

    fn of(&self, kind: ResourceType, name: &str) -> Option<&String> {
        match kind {
            CDS => self.clusters.get(name),
            EDS => self.endpoints.get(name),
            LDS => self.listeners.get(name),
            RDS => self.routes.get(name),
            ECDS => self.filter.as_ref(),
        }
    }
}

/// A proxy that speaks one of the protocol variants.
trait Proxy: Default {
    type Session: Session;
    /// Whether it cannot keep to itself that it dropped a name, since a later
    /// message would not tell.
    const SPEAKS_AT_ONCE: bool;

    fn session(stream: StreamId) -> Self::Session;
    fn held(&self) -> &Held;
    fn held_mut(&mut self) -> &mut Held;
    /// What it wants may have changed from `before`.
    fn interest_changed(&mut self, before: &Interest);
    fn resources(response: &<Self::Session as Session>::Response) -> usize;
    fn receive(&mut self, response: <Self::Session as Session>::Response);
    /// The next message of that type that it has to send.
    fn send(&mut self, kind: ResourceType) -> Option<<Self::Session as Session>::Request>;
    /// A new stream.
    fn reconnect(&mut self);
    /// Nothing is under way.
    fn calm(&mut self) {}
}

struct World<P: Proxy> {
    proxy: P,
    server: P::Session,
    streams: u64,
    to_proxy: VecDeque<<P::Session as Session>::Response>,
    to_server: VecDeque<<P::Session as Session>::Request>,
    snapshot: Arc<Snapshot>,
    /// What no earlier stream has had.
    salt: u64,
    /// Resources sent so far.
    sent: usize,
    /// Messages sent or received so far.
    moved: usize,
}

impl<P: Proxy> World<P> {
    fn new() -> Self {
        Self {
            proxy: P::default(),
            server: P::session(StreamId(0)),
            salt: 0,
            streams: 0,
            to_proxy: VecDeque::new(),
            to_server: VecDeque::new(),
            snapshot: Arc::default(),
            sent: 0,
            moved: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Update(resources) => self.snapshot = resources.snapshot(),
            Step::Look => {
                let responses = self.server.on_snapshot(&self.snapshot);
                self.respond(responses);
            }
            Step::Receive => {
                if let Some(response) = self.to_proxy.pop_front() {
                    self.moved += 1;
                    let before = self.proxy.held().interest();
                    self.proxy.receive(response);
                    self.proxy.interest_changed(&before);
                    // Envoy asks for routes when it is through with a response that has listeners,
                    // and not only after the next: a drop that is taken back has been heard of.
                    // (Endpoints need no such thing: they come with their cluster.)
                    let is_kept = before[&RDS].is_subset(&self.proxy.held().interest()[&RDS]);
                    if P::SPEAKS_AT_ONCE && !is_kept {
                        self.to_server.extend(self.proxy.send(RDS));
                    }
                }
            }
            Step::Send(kind) => self.to_server.extend(self.proxy.send(*kind)),
            Step::Serve => {
                if let Some(request) = self.to_server.pop_front() {
                    self.moved += 1;
                    let turn = self.server.on_request(request, &self.snapshot);
                    self.respond(turn.responses);
                }
            }
            Step::Toggle => {
                let before = self.proxy.held().interest();
                self.proxy.held_mut().toggle_extra();
                self.proxy.interest_changed(&before);
                if P::SPEAKS_AT_ONCE {
                    self.to_server.extend(self.proxy.send(EDS));
                }
            }
            Step::BackOff(kind) => {
                if self.server.progress(*kind).pause().is_some() {
                    let responses = self.server.on_back_off(*kind, &self.snapshot);
                    self.respond(responses);
                }
            }
            Step::Mend => self.proxy.held_mut().mended = true,
            Step::Reconnect => {
                self.to_proxy.clear();
                self.to_server.clear();
                self.streams += 1;
                self.server = P::session(StreamId(self.streams));
                self.salt += 1 << 32;
                self.server.introduce(&proxy("model"), self.salt);
                self.proxy.held_mut().stream_lost();
                self.proxy.reconnect();
                // Envoy repeats its subscriptions at once, in this order.
                for kind in KINDS {
                    self.to_server.extend(self.proxy.send(kind));
                }
            }
        }
        if self.to_proxy.is_empty() && self.to_server.is_empty() {
            self.proxy.calm();
        }
        self.nothing_is_claimed_that_is_not_so();
    }

    fn respond(&mut self, responses: Vec<<P::Session as Session>::Response>) {
        self.moved += responses.len();
        self.sent += responses.iter().map(P::resources).sum::<usize>();
        self.to_proxy.extend(responses);
    }

    fn covers(&self, kind: ResourceType) -> bool {
        let progress = self.server.progress(kind);
        progress.started && Holding(progress).covers(kind, &self.snapshot)
    }

    /// A rebalance goes on when this says so.
    fn nothing_is_claimed_that_is_not_so(&self) {
        if let Some(filter) = self.snapshot.of(ECDS).get("f")
            && self.covers(ECDS)
        {
            assert_eq!(self.proxy.held().filter, Some(content_of(filter)));
        }
    }

    /// Lets everybody say all that they have to.
    fn rest(&mut self) {
        for _ in 0..TOO_MANY {
            let before = self.moved;
            self.step(&Step::Look);
            self.step(&Step::Receive);
            for kind in KINDS {
                self.step(&Step::Send(kind));
            }
            self.step(&Step::Serve);
            if before == self.moved {
                return;
            }
        }
        panic!("they never stop talking");
    }

    /// What was refused before the proxy was mended is sent again by itself.
    fn rest_with_back_offs(&mut self) {
        for kind in KINDS {
            if self.server.progress(kind).pause().is_some() {
                self.step(&Step::BackOff(kind));
                self.rest();
            }
        }
        let refuses = |kind: &ResourceType| self.server.progress(*kind).is_refusing();
        assert_eq!(KINDS.into_iter().find(refuses), None);
    }

    fn the_proxy_has_what_it_wants(&self) {
        let held = self.proxy.held();
        for kind in KINDS {
            for (name, resource) in self.snapshot.of(kind) {
                let content = content_of(resource);
                if !held.refuses(&content) && held.wants(kind, name) {
                    assert_eq!(held.of(kind, name), Some(&content), "{kind} {name}");
                }
                if kind == EDS && !held.refuses(&content) {
                    let warms = held.warming.contains(&**name);
                    assert!(
                        !warms || held.patient.contains(&**name),
                        "{name} warms for ever"
                    );
                }
            }
        }
        for kind in [CDS, LDS] {
            for name in held.of_full_state(kind) {
                let exists = self.snapshot.of(kind).contains_key(name.as_str());
                assert!(exists, "{kind} {name} was never deleted");
            }
        }
    }

    fn run(steps: &[Step]) {
        let mut world = Self::new();
        for step in steps {
            world.step(step);
        }
        world.rest();
        if world.proxy.held().mended {
            world.rest_with_back_offs();
        }
        world.the_proxy_has_what_it_wants();
        let bad = |kind| {
            let mut resources = world.snapshot.of(kind).values();
            resources.any(|resource| world.proxy.held().refuses(&content_of(resource)))
        };
        if KINDS.into_iter().any(bad) {
            return;
        }
        for kind in KINDS {
            assert!(world.covers(kind), "{kind}");
        }
        // What overlapped on the last stream may be sent once more, then it is known.
        for expected in [None, Some(0)] {
            world.step(&Step::Reconnect);
            let before = world.sent;
            world.rest();
            world.the_proxy_has_what_it_wants();
            assert!(
                expected.is_none_or(|expected| world.sent - before == expected),
                "a restarted server repeats itself"
            );
        }
    }
}

/// State of the world gives no names, so the message has to: `name=content`.
fn content_of(resource: &Published) -> String {
    let text = String::from_utf8(resource.bytes().to_vec()).unwrap();
    text.split_once('=').unwrap().1.to_owned()
}

#[derive(Debug, Clone)]
enum Step {
    Update(Resources),
    Look,
    Receive,
    Send(ResourceType),
    Serve,
    Toggle,
    BackOff(ResourceType),
    Mend,
    Reconnect,
}

/// Contents by type and name.
#[derive(Clone)]
struct Resources(Vec<(ResourceType, &'static str, Option<&'static str>)>);

/// In one line, since a failing history has many of them.
impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, name, content) in &self.0 {
            write!(f, "{kind} {name}={} ", content.unwrap_or("none"))?;
        }
        Ok(())
    }
}

impl Resources {
    fn snapshot(&self) -> Arc<Snapshot> {
        let existing = self.0.iter();
        let existing = existing.filter_map(|&(kind, name, content)| Some((kind, name, content?)));
        let existing: Vec<_> = existing
            .map(|(kind, name, content)| (kind, name, format!("{name}={content}")))
            .collect();
        let texts = existing.iter();
        let texts = texts.map(|(kind, name, content)| (*kind, *name, content.as_str()));
        snapshot_of_variable(&texts.collect::<Vec<_>>())
    }
}

fn resources() -> impl Strategy<Value = Resources> {
    let places = [
        (CDS, "a"),
        (CDS, "b"),
        (EDS, "a"),
        (EDS, "b"),
        (EDS, "x"),
        (LDS, "l"),
        (LDS, "m"),
        (RDS, "l"),
        (RDS, "m"),
        (ECDS, "f"),
    ];
    let content = || {
        prop_oneof![
            4 => Just(Some("1")),
            3 => Just(Some("2")),
            1 => Just(Some(BAD)),
            1 => Just(None),
        ]
    };
    places
        .map(|(kind, name)| content().prop_map(move |content| (kind, name, content)))
        .prop_map(|contents| Resources(contents.to_vec()))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => resources().prop_map(Step::Update),
        4 => Just(Step::Look),
        12 => Just(Step::Receive),
        20 => proptest::sample::select(&KINDS[..]).prop_map(Step::Send),
        12 => Just(Step::Serve),
        1 => Just(Step::Toggle),
        1 => proptest::sample::select(&KINDS[..]).prop_map(Step::BackOff),
        1 => Just(Step::Mend),
        1 => Just(Step::Reconnect),
    ];
    proptest::collection::vec(step, 0..160)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_state_of_the_world_proxy_ends_up_with_what_it_wants(steps in steps()) {
        World::<sotw::Proxy>::run(&steps);
    }

    #[test]
    fn a_delta_proxy_ends_up_with_what_it_wants(steps in steps()) {
        World::<delta::Proxy>::run(&steps);
    }
}
