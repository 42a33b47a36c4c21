//! When which proxy has accepted what.

use std::time::{Duration, Instant};

use crate::Figures;

use crate::crowd::kind::Kind;

/// Over all proxies, since it was last started.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    /// What a proxy has to accept to be done.
    wanted: Vec<Kind>,
    started: Instant,
    proxies: Vec<Progress>,
    left: usize,
    /// The first byte that any of them got of what is wanted.
    first_byte: Option<Instant>,
    last_news: Instant,
}

#[derive(Debug, Clone, Default)]
struct Progress {
    accepted: [bool; Kind::ALL.len()],
    done: Option<Instant>,
}

/// How long it took the proxies.
#[derive(Debug, Clone)]
pub struct Times {
    /// Since it was waited for.
    pub from_start: Figures,
    /// Since the first byte to the first proxy.
    pub from_first_byte: Figures,
}

impl Stopwatch {
    pub(crate) fn new(proxies: usize) -> Self {
        Self {
            wanted: Vec::new(),
            started: Instant::now(),
            proxies: vec![Progress::default(); proxies],
            left: 0,
            first_byte: None,
            last_news: Instant::now(),
        }
    }

    /// Starts from zero: each proxy is done when it has accepted all of these.
    pub(crate) fn start(&mut self, wanted: Vec<Kind>) {
        let proxies = self.proxies.len();
        *self = Self {
            wanted,
            left: proxies,
            ..Self::new(proxies)
        };
    }

    pub(crate) fn accepted(&mut self, proxy: usize, kind: Kind, began: Instant, now: Instant) {
        self.last_news = now;
        let progress = &mut self.proxies[proxy];
        // What was on its way when the stopwatch was started does not count.
        if !self.wanted.contains(&kind) || progress.done.is_some() || began < self.started {
            return;
        }
        self.first_byte = Some(self.first_byte.map_or(began, |first| first.min(began)));
        progress.accepted[kind as usize] = true;
        if self
            .wanted
            .iter()
            .all(|kind| progress.accepted[*kind as usize])
        {
            progress.done = Some(now);
            self.left -= 1;
        }
    }

    /// Proxies that are not done.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// How long nothing has come.
    pub(crate) fn silence(&self) -> Duration {
        self.last_news.elapsed()
    }

    pub(crate) fn times(&self) -> Times {
        let since = |start: Instant| {
            let done = self.proxies.iter().filter_map(|progress| progress.done);
            done.map(|done| done.duration_since(start)).collect()
        };
        Times {
            from_start: since(self.started),
            from_first_byte: since(self.first_byte.unwrap_or(self.started)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_done_when_it_has_accepted_everything() {
        let mut stopwatch = Stopwatch::new(2);
        stopwatch.start(vec![Kind::Eds, Kind::Ecds]);
        let at = |ms| stopwatch.started + Duration::from_millis(ms);
        let times = [
            (0, Kind::Eds, 5, 10),
            (0, Kind::Cds, 1, 11),
            (0, Kind::Ecds, 12, 15),
        ];
        let times = times.map(|(proxy, kind, began, now)| (proxy, kind, at(began), at(now)));
        let late = (at(7), at(40));
        for (proxy, kind, began, now) in times {
            assert_eq!(stopwatch.left(), 2);
            stopwatch.accepted(proxy, kind, began, now);
        }
        assert_eq!(stopwatch.left(), 1);
        for kind in [Kind::Ecds, Kind::Eds] {
            stopwatch.accepted(1, kind, late.0, late.1);
        }
        assert_eq!(stopwatch.left(), 0);
        let times = stopwatch.times();
        assert_eq!(times.from_start.worst(), Some(Duration::from_millis(40)));
        assert_eq!(
            times.from_first_byte.worst(),
            Some(Duration::from_millis(35))
        );
    }
}
