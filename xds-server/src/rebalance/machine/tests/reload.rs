//! Other settings while it runs.

use super::*;

fn event(settings: Settings, max_body: u32) -> Event {
    let template = FilterConfig {
        max_body,
        ..FilterConfig::new(0, "c")
    };
    Event::Settings {
        settings,
        template: Box::new(template),
    }
}

impl Scene {
    fn reload(&mut self, settings: Settings, max_body: u32) -> Vec<Effect> {
        let event = event(settings, max_body);
        self.machine.step(event, &self.view, self.now)
    }

    fn max_body(&self) -> u32 {
        self.machine.current().unwrap().max_body
    }
}

fn usual() -> u32 {
    FilterConfig::new(0, "c").max_body
}

fn not_draining() -> Settings {
    Settings {
        pace: None,
        ..settings()
    }
}

fn drains(effects: &[Effect]) -> Vec<Drain> {
    let published = effects.iter().filter_map(|effect| match effect {
        Effect::Publish(config) => Some(config.drain),
        _ => None,
    });
    published.collect()
}

#[test]
fn what_filters_are_told_is_published_at_once_with_whatever_waits() {
    let mut scene = Scene::stable();
    assert_eq!(scene.roster(&[1, 2, 3]), []);
    assert_eq!(scene.machine.stage(), Stage::Settling);
    let effects = scene.reload(settings(), 5);
    assert_eq!(drains(&effects), [Drain::Hold]);
    assert_eq!(scene.max_body(), 5);
    let current = scene.machine.current().unwrap();
    assert_eq!(current.members, Some(roster(&[1, 2, 3])));
    assert!(!scene.machine.has_pending());
}

#[test]
fn the_rebalance_under_way_is_taken_over() {
    let mut scene = Scene::stable();
    let epoch = scene.hold(&[1, 2, 3]);
    let effects = scene.reload(settings(), 5);
    let Some(Effect::Finished(record)) = effects.first() else {
        panic!("{effects:?}");
    };
    assert_eq!(record.outcome, Some(Outcome::Superseded));
    assert_eq!(drains(&effects), [Drain::Hold]);
    assert!(scene.machine.current().unwrap().epoch > epoch);
}

#[test]
fn what_filters_are_not_told_disturbs_nothing() {
    let mut scene = Scene::stable();
    let patient = Settings {
        ack_wait: Duration::from_secs(50),
        ..settings()
    };
    assert_eq!(scene.reload(patient.clone(), usual()), []);
    assert_eq!(scene.machine.stage(), Stage::Stable);
    assert_eq!(scene.roster(&[1, 2, 3]), []);
    assert_eq!(scene.reload(patient, usual()), []);
    assert_eq!(scene.machine.stage(), Stage::Settling);
    scene.view.proxies = vec![proxy("a", false)];
    assert_eq!(drains(&scene.pass(250)), [Drain::Hold]);
    // The new patience counts.
    assert_eq!(scene.pass(10_000), []);
    assert_eq!(drains(&scene.pass(45_000)).len(), 1);
}

#[test]
fn draining_that_is_turned_off_is_taken_back_and_turned_on_again_is_made_up_for() {
    let mut scene = Scene::stable();
    let effects = scene.reload(not_draining(), usual());
    assert_eq!(drains(&effects), [Drain::Hold]);
    scene.look();
    scene.pass(5000);
    assert_eq!(scene.machine.stage(), Stage::Stable);
    let held = scene.machine.current().unwrap().epoch;
    assert_eq!(scene.reload(not_draining(), usual()), []);
    let effects = scene.reload(settings(), usual());
    let later = scene.pass(5000);
    let released = [drains(&effects), drains(&later)].concat();
    assert!(
        matches!(released[..], [Drain::Release { .. }]),
        "{released:?}"
    );
    assert_eq!(scene.machine.current().unwrap().epoch, held);
}

#[test]
fn before_the_first_roster_it_is_just_noted() {
    let mut scene = Scene::new(settings(), None);
    assert_eq!(scene.reload(settings(), 5), []);
    assert_eq!(drains(&scene.roster(&[1])), [Drain::Hold]);
    assert_eq!(scene.max_body(), 5);
}
