//! Many measurements in few numbers.

use std::time::Duration;

/// Durations of one kind.
#[derive(Debug, Clone, Default)]
pub struct Figures(Vec<Duration>);

impl Figures {
    /// Adds those of another.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
        self.0.sort_unstable();
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The one in the middle, the upper of two.
    #[must_use]
    pub fn median(&self) -> Option<Duration> {
        self.share(50)
    }

    /// The largest.
    #[must_use]
    pub fn worst(&self) -> Option<Duration> {
        self.0.last().copied()
    }

    /// The smallest that at least this many in a hundred do not exceed.
    #[must_use]
    pub fn share(&self, percent: usize) -> Option<Duration> {
        let last = self.0.len().checked_sub(1)?;
        let place = self.0.len() * percent / 100;
        self.0.get(place.min(last)).copied()
    }

    /// A duration in milliseconds, or a dash.
    #[must_use]
    pub fn show(duration: Option<Duration>) -> String {
        match duration {
            None => "-".to_owned(),
            Some(duration) if duration < Duration::from_millis(10) => {
                format!("{:.1} ms", duration.as_secs_f64() * 1e3)
            }
            Some(duration) => format!("{:.0} ms", duration.as_secs_f64() * 1e3),
        }
    }
}

impl FromIterator<Duration> for Figures {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut all: Vec<_> = durations.into_iter().collect();
        all.sort_unstable();
        Self(all)
    }
}
