//! What a command prints against what a document says that it prints.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

/// Stands for any number of lines.
const ANYTHING: &str = "...";

/// What stands for what differs.
const ADDRESS: &str = "ADDRESS";
const NUMBER: &str = "NUMBER";
const TIME: &str = "TIME";

/// Line by line as it stands.
pub(crate) fn expect_equal(said: &str, printed: &str) -> Result<()> {
    expect(said, printed, |line| line.trim_end().to_owned())
}

/// Line by line without what differs from run to run: numbers, addresses,
/// times and the width of columns. Words, names and shapes are the same.
pub(crate) fn expect_alike(said: &str, printed: &str) -> Result<()> {
    expect(said, printed, |line| {
        let mut shapes: Vec<String> = Vec::new();
        for word in line.split_whitespace() {
            let is_unit = ["ms", "s"].contains(&bare(word));
            match shapes.last_mut() {
                Some(number) if is_unit && number == NUMBER => {
                    *number = word.replace(bare(word), TIME);
                }
                // `1m 2s` is one time.
                Some(time) if time == TIME && shape(word) == TIME => {}
                _ => shapes.push(shape(word)),
            }
        }
        shapes.join(" ")
    })
}

fn expect(said: &str, printed: &str, comparable: impl Fn(&str) -> String) -> Result<()> {
    let lines = |text: &str| text.trim_end().lines().map(&comparable).collect::<Vec<_>>();
    let (said, printed) = (lines(said), lines(printed));
    ensure!(
        matches(&said, &printed),
        "it is said to print\n{}\nbut prints\n{}",
        said.join("\n"),
        printed.join("\n")
    );
    Ok(())
}

fn matches(said: &[String], printed: &[String]) -> bool {
    match (said.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((line, said)), _) if line.trim() == ANYTHING => {
            (0..=printed.len()).any(|skipped| matches(said, &printed[skipped..]))
        }
        (Some((line, said)), Some((other, printed))) => line == other && matches(said, printed),
        _ => false,
    }
}

/// A word without its numbers: `12,`, `8.3`, `3s`, `127.0.0.1:80`.
fn shape(word: &str) -> String {
    let bare = bare(word);
    let unit = bare.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let has_number = bare.starts_with(|c: char| c.is_ascii_digit());
    let shape = match unit {
        _ if bare.parse::<SocketAddr>().is_ok() => ADDRESS,
        "" if has_number => NUMBER,
        "s" | "m" | "ms" if has_number => TIME,
        _ => return word.to_owned(),
    };
    word.replace(bare, shape)
}

fn bare(word: &str) -> &str {
    word.trim_matches([',', ';', '(', ')'])
}

#[test]
fn numbers_may_differ_and_words_may_not() {
    let said = "  yorkie-0  127.0.0.1:1  1  25.0 %  3s ago\n  ...\n49 ms, then (7)\n";
    for same in [
        "yorkie-0 127.0.0.1:22 1 8.1 % 4ms ago\n1.5 s, then (12)",
        "yorkie-0 [::1]:22 1 8.1 % 1m 4s ago\na\nb\n1 ms, then (12)\n",
    ] {
        assert!(expect_alike(said, same).is_ok(), "{same}");
        assert!(expect_equal(said, same).is_err(), "{same}");
    }
    for other in [
        "yorkie-1 127.0.0.1:22 1 8.1 % 4s ago\n49 ms, then (7)",
        "yorkie-0 127.0.0.1:22 1 8.1 % ago\n49 ms, then (7)",
        "yorkie-0 127.0.0.1:22 1 8.1 % 4s ago\n49 ms then (7)",
        "yorkie-0 127.0.0.1:22 1 8.1 % 4s ago",
    ] {
        assert!(expect_alike(said, other).is_err(), "{other}");
    }
    assert!(expect_equal("a\n...\nb 1\n", "a\nx\nb 1").is_ok());
    assert!(expect_equal("a\n...\nb 1\n", "a\nx\nb 2").is_err());
}
