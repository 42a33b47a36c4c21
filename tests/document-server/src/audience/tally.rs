//! What has happened since it was last told, in lines for a person.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use super::crowd::{Event, What};

/// Where each document is watched, and what has changed.
#[derive(Debug)]
pub(super) struct Tally {
    seats: Vec<Seat>,
    failed: usize,
}

/// One document.
#[derive(Debug, Clone, Default)]
struct Seat {
    /// The server that its stream is on.
    server: Option<String>,
    /// The server that it was on when it was last told.
    before: Option<String>,
    /// When its stream ended for the first time since.
    left: Option<Instant>,
    /// How long it was away, at most.
    away: Duration,
}

impl Tally {
    pub(super) fn new(documents: usize) -> Self {
        Self {
            seats: vec![Seat::default(); documents],
            failed: 0,
        }
    }

    pub(super) fn note(&mut self, Event { document, what }: Event) {
        let Some(seat) = self.seats.get_mut(document) else {
            return;
        };
        match what {
            What::Opened(server) => {
                if let Some(left) = seat.left {
                    seat.away = seat.away.max(left.elapsed());
                }
                seat.server = Some(server);
            }
            What::Ended => {
                seat.left = Some(Instant::now());
                seat.server = None;
            }
            What::Failed => self.failed += 1,
        }
    }

    /// Tells it, and begins anew.
    pub(super) fn told(&mut self) -> String {
        let mut text = String::new();
        let all = self.seats.len();
        let open = self
            .seats
            .iter()
            .filter(|seat| seat.server.is_some())
            .count();
        let ended: Vec<&Seat> = self
            .seats
            .iter()
            .filter(|seat| seat.left.is_some())
            .collect();
        let _ = if ended.is_empty() {
            writeln!(
                text,
                "{open} of {all} documents are watched, each by one person"
            )
        } else {
            let away = ended.iter().map(|seat| seat.away).max().unwrap_or_default();
            writeln!(
                text,
                "{} of {all} streams ended, {} were not touched; the longest was away for {} ms; {open} are open",
                ended.len(),
                all - ended.len(),
                away.as_millis()
            )
        };
        for ((from, to), documents) in moves(&self.seats) {
            let _ = writeln!(text, "  {documents:>5}  {from} -> {to}");
        }
        if self.failed > 0 {
            let _ = writeln!(text, "  attempts that failed: {}", self.failed);
        }
        let _ = writeln!(text, "  now {}", servers(&self.seats));
        for seat in &mut self.seats {
            seat.before.clone_from(&seat.server);
            seat.left = None;
            seat.away = Duration::ZERO;
        }
        self.failed = 0;
        text
    }
}

/// How many documents came from where to where.
fn moves(seats: &[Seat]) -> BTreeMap<(&str, &str), usize> {
    let mut moves = BTreeMap::new();
    for seat in seats.iter().filter(|seat| seat.left.is_some()) {
        if let (Some(before), Some(server)) = (&seat.before, &seat.server) {
            *moves.entry((before.as_str(), server.as_str())).or_default() += 1;
        }
    }
    moves
}

/// How many documents each server has.
fn servers(seats: &[Seat]) -> String {
    let mut servers = BTreeMap::<&str, usize>::new();
    for server in seats.iter().filter_map(|seat| seat.server.as_deref()) {
        *servers.entry(server).or_default() += 1;
    }
    let each: Vec<String> = servers
        .iter()
        .map(|(server, documents)| format!("{server} {documents}"))
        .collect();
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(document: usize, server: &str) -> Event {
        let what = What::Opened(server.to_owned());
        Event { document, what }
    }

    #[tokio::test(start_paused = true)]
    async fn what_moved_is_told_once() {
        let mut tally = Tally::new(3);
        for (document, server) in [(0, "a"), (1, "a"), (2, "b")] {
            tally.note(opened(document, server));
        }
        assert_eq!(
            tally.told(),
            "3 of 3 documents are watched, each by one person\n  now a 2, b 1\n"
        );
        let what = What::Ended;
        tally.note(Event { document: 1, what });
        tokio::time::advance(Duration::from_millis(20)).await;
        let what = What::Failed;
        tally.note(Event { document: 1, what });
        tally.note(opened(1, "c"));
        assert_eq!(
            tally.told(),
            "1 of 3 streams ended, 2 were not touched; the longest was away for 20 ms; 3 are open\n      \
             1  a -> c\n  attempts that failed: 1\n  now a 1, b 1, c 1\n"
        );
        let again = tally.told();
        assert!(again.starts_with("3 of 3 documents"), "{again}");
    }
}
