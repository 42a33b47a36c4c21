//! Cases, one by one.

use std::time::{Duration, Instant};

use super::deciding::Happened;
use super::*;
use crate::config::{Check, Damping, Readmit};
use crate::health::MemberState;

mod ejecting;
mod entering;
mod moving;
mod orders;
mod returning;

const SECOND: Duration = Duration::from_secs(1);

fn rules() -> Rules {
    Rules {
        check: Check::Tcp,
        port: None,
        incarnation: None,
        interval: SECOND,
        timeout: SECOND,
        fail_after: 3,
        pass_after: 1,
        quorum: None,
        readmit: None,
        max_ejected: 34,
        damping: Damping {
            first: SECOND * 10,
            longest: SECOND * 30,
            memory: SECOND * 1000,
        },
    }
}

fn roster(ids: &[&str]) -> Roster {
    let members = ids.iter().map(|id| Member::new(*id, address(id, 1), 1));
    Roster::new(members.collect()).unwrap()
}

/// Of the run `run` of that member.
fn address(id: &str, run: u8) -> SocketAddr {
    let last = id.bytes().last().unwrap();
    ([10, 0, run, last], 80).into()
}

struct Scene {
    judge: Judge,
    now: Instant,
}

impl Scene {
    /// All of them serve.
    fn new(rules: Rules, ids: &[&str]) -> Self {
        let mut scene = Self::restarted(rules, ids, ids, Kept::default());
        for id in ids {
            scene.pass(id, None);
        }
        scene.expect(ids);
        scene
    }

    fn restarted(rules: Rules, last: &[&str], listed: &[&str], kept: Kept) -> Self {
        let last = (!last.is_empty()).then(|| roster(last));
        let mut scene = Self {
            judge: Judge::new(Some(rules), last.as_ref(), kept),
            now: Instant::now(),
        };
        scene.list(listed);
        scene
    }

    fn list(&mut self, ids: &[&str]) {
        self.judge.listed(&roster(ids), self.now);
    }

    fn check(&mut self, id: &str, result: Result<Option<&str>, &str>) {
        let result = match result {
            Ok(incarnation) => Ok(incarnation.map(str::to_owned)),
            Err(problem) => Err(problem.to_owned()),
        };
        let address = self.judge.listed_as(id).unwrap().address;
        self.judge.checked(id, address, result, self.now);
    }

    fn pass(&mut self, id: &str, incarnation: Option<&str>) {
        self.check(id, Ok(incarnation));
    }

    /// So many checks in a row fail, a decision after each.
    fn fail(&mut self, id: &str, times: usize) {
        for _ in 0..times {
            self.check(id, Err("refused"));
            self.decide();
        }
    }

    fn see(&mut self, proxies: u32, unreached: &[(&str, u32)]) {
        self.see_slow(proxies, unreached, &[]);
    }

    /// Beside those that requests do not reach, some that are slow.
    fn see_slow(&mut self, proxies: u32, unreached: &[(&str, u32)], slow: &[(&str, u32)]) {
        let by_id = |seen: &[(&str, u32)]| -> BTreeMap<String, u32> {
            let seen = seen.iter();
            seen.map(|(id, count)| ((*id).to_owned(), *count)).collect()
        };
        let unreached = by_id(unreached);
        let mut doubted = unreached.clone();
        doubted.extend(by_id(slow));
        self.judge.seen(Sight {
            proxies,
            unreached,
            doubted,
        });
    }

    /// Decides, and has proxies route accordingly.
    fn decide(&mut self) -> Vec<Happened> {
        let decision = self.judge.decide(self.now);
        self.judge.assigned(decision.roster);
        decision.happened
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    #[track_caller]
    fn expect(&mut self, ids: &[&str]) {
        let decision = self.judge.decide(self.now);
        self.judge.assigned(decision.roster.clone());
        let members = decision.roster.as_ref().map_or(&[][..], Roster::members);
        let serving: Vec<_> = members.iter().map(|member| member.id.as_str()).collect();
        assert_eq!(serving, ids);
    }

    fn state(&self, id: &str) -> (MemberState, String) {
        let shown = self.judge.shown();
        let member = shown.members.into_iter().find(|member| member.id == id);
        let member = member.unwrap();
        (member.state, member.why.unwrap_or_default())
    }
}
