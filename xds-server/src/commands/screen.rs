//! Numbers, times and tables for people.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

/// Longest text of somebody else in a table, in characters.
const MAX_TEXT: usize = 120;

/// A share of 0 to 1, with its sign.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A time that a person can compare: `40 ms`, `1.2 s`, `3m 20s`.
pub(super) fn time(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{:.1} s", ms as f64 / 1000.0),
        _ => humantime::format_duration(Duration::from_secs(ms / 1000)).to_string(),
    }
}

/// A text that somebody else wrote, without what could steer a terminal.
pub(super) fn plain(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = visible.take(MAX_TEXT + 1).collect();
    if short.chars().count() > MAX_TEXT {
        short.pop();
        short.push('…');
    }
    short
}

/// A table without lines, its columns of numbers to the right.
pub(super) fn table(header: &[&str], numbers: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((2, 0));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1250, "1.2 s"),
            (200_999, "3m 20s"),
        ] {
            assert_eq!(time(ms), text);
        }
    }

    #[test]
    fn a_text_of_others_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\n"), "a [2Jb ");
        assert_eq!(plain(&"é".repeat(500)).chars().count(), 121);
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["a".to_owned(), "1".to_owned()],
            vec!["long".to_owned(), "100".to_owned()],
        ];
        assert_eq!(
            table(&["NAME", "N"], &[1], rows),
            "  NAME    N\n  a       1\n  long  100"
        );
    }
}
