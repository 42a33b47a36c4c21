//! From measurements to a table.

use std::fmt::Write;

use serde::Serialize;

/// CPU time per request in microseconds: of one variant, one for each round.
/// The same place in two of them is the same round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Series {
    /// The variant.
    pub(crate) name: String,
    /// By round.
    pub(crate) rounds: Vec<f64>,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    /// The variant.
    pub(crate) name: String,
    /// Median of the CPU time per request, in microseconds.
    pub(crate) median: f64,
    /// The least; what else the machine does can only add.
    pub(crate) least: f64,
    /// Lower quartile.
    pub(crate) p25: f64,
    /// Upper quartile.
    pub(crate) p75: f64,
    /// Median over the rounds of the difference to the base in the same round.
    pub(crate) added: f64,
    /// Median over the rounds of the ratio to each reference in the same round.
    pub(crate) ratios: Vec<f64>,
}

/// The lines of all variants. Compared within a round, because what else the
/// machine does changes from round to round.
#[must_use]
pub(crate) fn lines(all: &[Series], base: &str, references: &[&str]) -> Vec<Line> {
    let rounds_of = |name: &str| {
        let found = all.iter().find(|series| series.name == name);
        found.map_or(&[][..], |series| &series.rounds)
    };
    let paired = |own: &[f64], name: &str, compare: fn(f64, f64) -> f64| {
        let pairs = own.iter().zip(rounds_of(name));
        quantile(pairs.map(|(own, other)| compare(*own, *other)), 0.5)
    };
    all.iter()
        .map(|Series { name, rounds }| Line {
            name: name.clone(),
            median: quantile(rounds.iter().copied(), 0.5),
            least: quantile(rounds.iter().copied(), 0.0),
            p25: quantile(rounds.iter().copied(), 0.25),
            p75: quantile(rounds.iter().copied(), 0.75),
            added: paired(rounds, base, |own, base| own - base),
            ratios: references
                .iter()
                .map(|reference| paired(rounds, reference, |own, other| own / other))
                .collect(),
        })
        .collect()
}

/// The table as text; `headings` are those of the ratios.
#[must_use]
pub(crate) fn table(lines: &[Line], headings: &[&str]) -> String {
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    let mut text = format!(
        "{:width$}  {:>7}  {:>15}  {:>7}  {:>7}",
        "", "us/req", "p25 - p75", "least", "added"
    );
    for heading in headings {
        let _ = write!(text, "  {heading:>13}");
    }
    for line in lines {
        let spread = format!("{:.2} - {:.2}", line.p25, line.p75);
        let _ = write!(
            text,
            "\n{:width$}  {:>7.2}  {spread:>15}  {:>7.2}  {:>+7.2}",
            line.name, line.median, line.least, line.added
        );
        for ratio in &line.ratios {
            let _ = write!(text, "  {ratio:>13.3}");
        }
    }
    text
}

/// By linear interpolation; not a number when there is nothing.
fn quantile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = share * last as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    let rest = position - position.floor();
    sorted[below] + (sorted[above] - sorted[below]) * rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, rounds: &[f64]) -> Series {
        Series {
            name: name.to_owned(),
            rounds: rounds.to_vec(),
        }
    }

    #[test]
    fn quantiles_interpolate() {
        let of = |values: &[f64], share| quantile(values.iter().copied(), share);
        assert!((of(&[3.0, 1.0, 2.0], 0.5) - 2.0).abs() < 1e-9);
        assert!((of(&[1.0, 2.0], 0.25) - 1.25).abs() < 1e-9);
        assert!(of(&[], 0.5).is_nan());
    }

    #[test]
    fn a_slow_round_is_slow_for_all_and_changes_no_comparison() {
        let all = [
            series("base", &[10.0, 30.0, 10.0]),
            series("own", &[11.0, 33.0, 11.0]),
        ];
        let lines = lines(&all, "base", &["base"]);
        assert!((lines[1].ratios[0] - 1.1).abs() < 1e-9);
        assert!((lines[1].added - 1.0).abs() < 1e-9);
        assert!(lines[0].added.abs() < 1e-9);
        assert_eq!(table(&lines, &["x base"]).lines().count(), 3);
    }
}
