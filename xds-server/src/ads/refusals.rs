//! What a proxy refused, and how long that rests before it is sent again.

use std::sync::Arc;
use std::time::Duration;

use crate::ads::progress::Versions;

/// How long a refusal rests at first. What was refused for a reason outside of
/// it, as a file that is not there yet or a port that is taken, can be accepted
/// without having changed.
const FIRST: Duration = Duration::from_secs(5);

/// How often that doubles: every further refusal makes it less likely that the
/// reason will pass by itself, and an operator who has mended it does not want
/// to wait for more than minutes. So it ends at 5 min 20 s.
const DOUBLINGS: u32 = 6;

/// Resources of one type that a proxy refused and was sent nothing else of.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    versions: Versions,
    /// How often these were sent again in vain.
    rounds: u32,
}

impl Refusals {
    /// The proxy refused `name` in that version.
    pub(crate) fn note(&mut self, name: &Arc<str>, version: &Arc<str>) {
        let before = self.versions.insert(Arc::clone(name), Arc::clone(version));
        if before.as_ref() != Some(version) {
            self.rounds = 0;
        }
    }

    /// Keeps those that `keep` is true for.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Arc<str>, &Arc<str>) -> bool) {
        self.versions.retain(|name, version| keep(name, version));
    }

    /// Whether `name` was refused in that version.
    pub(crate) fn has(&self, name: &str, version: &Arc<str>) -> bool {
        self.versions.get(name) == Some(version)
    }

    /// How long they rest from now on; `None` when there are none.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let pause = FIRST * 2_u32.pow(self.rounds.min(DOUBLINGS));
        (!self.versions.is_empty()).then_some(pause)
    }

    /// Their names, as they are sent again.
    pub(crate) fn again(&mut self) -> Vec<Arc<str>> {
        self.rounds = self.rounds.saturating_add(1);
        self.versions.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_a_limit_and_starts_anew_with_another_content() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.pause(), None);
        let (name, one, two) = ("f".into(), "1".into(), "2".into());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            refusals.note(&name, &one);
            pauses.push(refusals.pause().unwrap().as_secs());
            assert_eq!(refusals.again(), [Arc::clone(&name)]);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 320, 320]);
        refusals.note(&name, &two);
        assert_eq!(refusals.pause(), Some(FIRST));
        assert!(refusals.has("f", &two) && !refusals.has("f", &one));
        refusals.retain(|_, _| false);
        assert_eq!(refusals.pause(), None);
    }
}
