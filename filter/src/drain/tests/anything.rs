//! Whatever happens, in whatever order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    Watch(u32),
    Wait(u32),
    End(usize),
    Assign(&'static str, Option<u64>),
    Tick(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0_u32..30).prop_map(Event::Watch),
        1 => (0_u32..30).prop_map(Event::Wait),
        2 => (0_usize..50).prop_map(Event::End),
        2 => (
            prop_oneof![Just("ab"), Just("abc"), Just("ac"), Just("d")],
            proptest::option::of(0_u64..3000),
        ).prop_map(|(members, window)| Event::Assign(members, window)),
        4 => (1_u64..1500).prop_map(Event::Tick),
    ]
}

fn drain(window: Option<u64>) -> String {
    window.map_or_else(
        || HOLD.to_owned(),
        |ms| format!(r#"{{"release":{{"window_ms":{ms}}}}}"#),
    )
}

/// What the test itself knows of an open stream.
struct Known {
    stream: Stream,
    key: String,
    epoch: u64,
    at: char,
}

struct World {
    scene: Scene,
    epoch: u64,
    open: BTreeMap<u32, Known>,
}

impl World {
    fn open(&mut self, id: u32, number: u32, is_answered: bool) {
        let key = key(number);
        let stream = if is_answered {
            self.scene.watch(id, &key)
        } else {
            self.scene.send(id, WATCH, &key)
        };
        let at = self.scene.owner(&key);
        let epoch = self.epoch;
        let known = Known {
            stream,
            key,
            epoch,
            at,
        };
        self.open.insert(id, known);
    }

    /// Everything that was ended had to, and was open.
    fn settle(&mut self) {
        let replies = self.scene.host.take_replies().into_iter();
        let answered = replies.map(|(context, _)| context.unwrap());
        for id in self.scene.resets().into_iter().chain(answered) {
            let mut known = self.open.remove(&id).expect("open, and ended once");
            assert!(known.epoch < self.epoch, "of the epoch in use");
            assert_ne!(known.at, self.scene.owner(&known.key), "not moved");
            known.stream.end(&self.scene.vm);
        }
    }

    fn misplaced(&self) -> usize {
        let moved = |known: &&Known| known.at != self.scene.owner(&known.key);
        self.open.values().filter(moved).count()
    }
}

proptest! {
    #[test]
    fn only_what_is_misplaced_ends_once_and_in_the_end_nothing_is(
        events in proptest::collection::vec(event(), 1..120),
    ) {
        let mut world = World { scene: Scene::new("ab"), epoch: 1, open: BTreeMap::new() };
        for (id, event) in (100..).zip(events) {
            match event {
                Event::Watch(number) => world.open(id, number, true),
                Event::Wait(number) => world.open(id, number, false),
                Event::End(index) => {
                    let id = world.open.keys().nth(index).copied();
                    if let Some(mut known) = id.and_then(|id| world.open.remove(&id)) {
                        known.stream.end(&world.scene.vm);
                    }
                }
                Event::Assign(members, window) => {
                    world.epoch += 1;
                    world.scene.assign(world.epoch, members, &drain(window));
                }
                Event::Tick(ms) => world.scene.tick(Duration::from_millis(ms)),
            }
            world.settle();
        }
        let members = world.scene.assignment();
        let members: String = members.roster().members().iter().map(|member| member.id.as_str()).collect();
        world.scene.assign(world.epoch, &members, AT_ONCE);
        world.settle();
        // Without a request there is no tick.
        for _ in 0..8 {
            world.scene.tick(world.scene.host.tick_period().unwrap_or(SECOND));
            world.settle();
        }
        world.scene.tick(SECOND);
        prop_assert_eq!(world.misplaced(), 0);
        prop_assert_eq!(world.scene.host.gauge("yorkies.misplaced_streams"), 0);
        prop_assert_eq!(world.scene.host.gauge("yorkies.open_streams"), world.open.len() as u64);
        prop_assert_eq!(world.scene.counted("yorkies.host.errors"), 0);
        prop_assert_eq!(world.scene.counted("yorkies.prediction_mismatches"), 0);
    }
}
