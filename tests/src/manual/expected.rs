//! What a command prints against what a document says that it prints.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

/// Stands for any number of lines.
const ANYTHING: &str = "...";

/// What stands for what differs.
const ADDRESS: &str = "ADDRESS";
const NUMBER: &str = "NUMBER";
const TIME: &str = "TIME";
const MOMENT: &str = "MOMENT";
const ID: &str = "ID";

/// Digits of the ids that etcd gives its leases, at least.
const ID_DIGITS: usize = 12;

/// Line by line as it stands.
pub fn expect_equal(said: &str, printed: &str) -> Result<()> {
    expect(said, printed, |line| line.trim_end().to_owned())
}

/// Line by line without what differs from run to run: numbers, addresses,
/// times and the width of columns. Words, names and shapes are the same.
pub fn expect_alike(said: &str, printed: &str) -> Result<()> {
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

/// A word without its numbers: `12,`, `8.3`, `3s`, `127.0.0.1:80`, `pid=7`,
/// `2026-01-02T03:04:05.678901Z`, `694d9ab2d2a3f20b`.
fn shape(word: &str) -> String {
    if let Some((name, value)) = word.split_once('=') {
        return format!("{name}={}", shape(value));
    }
    let bare = bare(word);
    let unit = bare.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let has_number = bare.starts_with(|c: char| c.is_ascii_digit());
    let shape = match unit {
        _ if bare.parse::<SocketAddr>().is_ok() => ADDRESS,
        _ if is_moment(bare) => MOMENT,
        _ if is_id(bare) => ID,
        "" if has_number => NUMBER,
        "s" | "m" | "ms" if has_number => TIME,
        _ => return word.to_owned(),
    };
    word.replace(bare, shape)
}

fn is_moment(word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_digit() || "-:.".contains(c);
    let parts = word.strip_suffix('Z').and_then(|word| word.split_once('T'));
    parts.is_some_and(|(day, time)| {
        day.matches('-').count() == 2 && (day.to_owned() + time).chars().all(is_part)
    })
}

fn is_id(word: &str) -> bool {
    let has = |is: fn(&char) -> bool| word.chars().any(|c| is(&c));
    word.len() >= ID_DIGITS
        && word.chars().all(|c| c.is_ascii_hexdigit())
        && has(char::is_ascii_digit)
        && has(char::is_ascii_alphabetic)
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
    let said =
        "2026-01-02T03:04:05.678901Z  INFO a: Up pid=7 at=127.0.0.1:1\nlease 694d9ab2d2a3f20b";
    for (same, is_alike) in [
        (
            "2027-11-12T13:14:15.1Z INFO a: Up pid=77 at=[::1]:2\nlease 0a1b2c3d4e5f",
            true,
        ),
        (
            "2027-11-12 13:14:15.1Z INFO a: Up pid=77 at=[::1]:2\nlease 0a1b2c3d4e5f",
            false,
        ),
        (
            "2027-11-12T13:14:15.1Z INFO a: Up pid=77 at=nowhere\nlease 0a1b2c3d4e5f",
            false,
        ),
        (
            "2027-11-12T13:14:15.1Z INFO a: Up id=77 at=[::1]:2\nlease 0a1b2c3d4e5f",
            false,
        ),
        (
            "2027-11-12T13:14:15.1Z INFO a: Up pid=77 at=[::1]:2\nlease abcdefabcdef",
            false,
        ),
    ] {
        assert_eq!(expect_alike(said, same).is_ok(), is_alike, "{same}");
    }
    assert!(expect_equal("a\n...\nb 1\n", "a\nx\nb 1").is_ok());
    assert!(expect_equal("a\n...\nb 1\n", "a\nx\nb 2").is_err());
}
