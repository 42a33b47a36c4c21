//! From one assignment to the next.

mod plan;

use sharding::{FilterConfig, Roster};

use crate::config::Config;

pub use plan::{Move, Plan};

/// The message for `roster` under `config`, or `None` when `last` already says
/// the same.
///
/// The epoch is above the last one and not below the unix time in milliseconds,
/// `now_ms`: when the state file is lost, the epoch still does not go back,
/// unless the clock does.
#[must_use]
pub fn next(
    last: Option<&FilterConfig>,
    roster: Roster,
    config: &Config,
    now_ms: u64,
) -> Option<FilterConfig> {
    let next = FilterConfig {
        members: Some(roster),
        ..config.filter_config(last.map_or(0, |last| last.epoch))
    };
    if last == Some(&next) {
        return None;
    }
    let epoch = now_ms.max(next.epoch.saturating_add(1));
    Some(FilterConfig { epoch, ..next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharding::Member;

    fn config(policy: &str) -> Config {
        let text =
            format!("registry: {{file: m.yaml}}\nfilter: {{module: f.wasm}}\npolicy: {policy}\n");
        serde_saphyr::from_str(&text).unwrap()
    }

    fn roster(ports: &[u16]) -> Roster {
        let members = ports
            .iter()
            .map(|&port| Member::new(format!("m{port}"), ([127, 0, 0, 1], port).into(), 1));
        Roster::new(members.collect()).unwrap()
    }

    #[test]
    fn the_first_epoch_is_the_time() {
        let first = next(None, roster(&[1]), &config("maglev"), 1000).unwrap();
        assert_eq!(first.epoch, 1000);
    }

    #[test]
    fn the_same_roster_again_is_no_change() {
        let config = config("maglev");
        let first = next(None, roster(&[1, 2]), &config, 1000).unwrap();
        assert_eq!(next(Some(&first), roster(&[2, 1]), &config, 2000), None);
    }

    #[test]
    fn any_change_gets_a_higher_epoch_even_when_the_clock_went_back() {
        let first = next(None, roster(&[1]), &config("maglev"), 1000).unwrap();
        let second = next(Some(&first), roster(&[1, 2]), &config("maglev"), 5).unwrap();
        assert_eq!(second.epoch, 1001);
        let third = next(Some(&second), roster(&[1, 2]), &config("ring_hash"), 2000).unwrap();
        assert_eq!(third.epoch, 2000);
    }
}
