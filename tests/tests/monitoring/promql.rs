//! As much of Prometheus' language as it takes to see which metrics and labels
//! an expression asks for.

use anyhow::{Context, Result, ensure};

/// Metrics in an expression, with the labels that it selects by.
pub(crate) fn selectors(expression: &str) -> Result<Vec<(String, Vec<String>)>> {
    const WORDS: [&str; 17] = [
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "and",
        "or",
        "unless",
        "offset",
        "bool",
        "sum",
        "max",
        "min",
        "avg",
        "count",
        "start",
    ];
    let (mut found, mut rest) = (Vec::new(), expression);
    while let Some(first) = rest.chars().next() {
        let (name, after) = split_name(rest);
        if name.is_empty() {
            // Ranges, numbers with their units, quoted texts and lists of labels are no metrics.
            let skipped = match first {
                '[' => rest.find(']').context("no end of a range")? + 1,
                '"' => rest[1..].find('"').context("no end of a text")? + 2,
                '0'..='9' => rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '.')
                    .unwrap_or(rest.len()),
                other => other.len_utf8(),
            };
            rest = &rest[skipped..];
            continue;
        }
        let next = after.trim_start();
        let takes_labels = matches!(name, "by" | "without" | "on" | "ignoring");
        if takes_labels && next.starts_with('(') {
            rest = &next[next.find(')').context("no end of a list")? + 1..];
        } else if WORDS.contains(&name) || next.starts_with('(') {
            rest = after;
        } else {
            let matchers = next.strip_prefix('{').map(|matchers| {
                let end = matchers.find('}').unwrap_or(matchers.len());
                &matchers[..end]
            });
            found.push((name.to_owned(), label_names(matchers.unwrap_or_default())));
            rest = matchers.map_or(after, |matchers| &next[matchers.len() + 2..]);
        }
    }
    Ok(found)
}

/// Labels that an expression groups or joins by.
pub(crate) fn grouped(expression: &str) -> Vec<String> {
    let mut labels = Vec::new();
    for word in ["by (", "on ("] {
        for list in expression.split(word).skip(1) {
            let list = list.split(')').next().unwrap_or_default();
            labels.extend(list.split(',').map(|label| label.trim().to_owned()));
        }
    }
    labels
}

/// A name of a metric at the beginning of a text, and what follows it.
pub(crate) fn split_name(text: &str) -> (&str, &str) {
    let is_first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':');
    if !text.starts_with(is_first) {
        return ("", text);
    }
    let end = text.find(|c: char| !is_first(c) && !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// Names of labels in `a="b", c=~"d"`, with or without what stands behind them.
pub(crate) fn label_names(mut text: &str) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let (name, rest) = split_name(text.trim_start_matches([',', ' ']));
        let value = rest.trim_start_matches(['=', '~', '!']);
        let Some((_, after)) = value
            .strip_prefix('"')
            .and_then(|value| value.split_once('"'))
            .filter(|_| !name.is_empty())
        else {
            return names;
        };
        names.push(name.to_owned());
        text = after;
    }
}

#[test]
fn metrics_are_found_in_expressions_of_every_form_that_is_used() -> Result<()> {
    let cases: [(&str, &[&str]); 6] = [
        ("a_b > 0.5 * max_over_time(c[1h])", &["a_b", "c"]),
        (
            "up{job=\"x y\"} == 1 unless on (job, instance) d",
            &["up", "d"],
        ),
        (
            "sum by (le, job) (rate(e_bucket{f=~\"g|h\", i!=\"j\"}[5m]))",
            &["e_bucket"],
        ),
        (
            "(k unless k offset 15m) or increase(l[1m]) > 0",
            &["k", "k", "l"],
        ),
        (
            "histogram_quantile(0.99, sum by (le) (rate(m_bucket[1h])))",
            &["m_bucket"],
        ),
        ("n\n  / (o + p)\n", &["n", "o", "p"]),
    ];
    for (expression, expected) in cases {
        let found = selectors(expression)?;
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        ensure!(names == expected, "{expression:?}: {names:?}");
    }
    let found = selectors("e{f=~\"g|h\", i!=\"j\"}")?;
    ensure!(found[0].1 == ["f", "i"], "{found:?}");
    ensure!(grouped("sum by (a, b) (c) unless on (d) e") == ["a", "b", "d"]);
    Ok(())
}
