//! As much of Markdown as it takes to see that documents lead somewhere.

use std::collections::BTreeSet;

/// What links to the headings of a document end with, as GitHub makes it.
#[must_use]
pub fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

/// Targets of the links and pictures of a document, in order.
#[must_use]
pub fn links(text: &str) -> Vec<&str> {
    let parts = prose(text).flat_map(|line| line.split("](").skip(1));
    parts.filter_map(|part| part.split(')').next()).collect()
}

/// Lines that are not within a code block.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

fn anchor(heading: &str) -> String {
    let heading = heading.trim().to_lowercase().replace(' ', "-");
    heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# A title\n[one](x.md#y) and ![two](z.svg)\n```sh\n# no\n[no](no)\n```\n## Why `it` is\n";

    #[test]
    fn headings_and_links_are_found_outside_of_code() {
        let anchors = anchors(TEXT);
        assert_eq!(anchors.len(), 2, "{anchors:?}");
        assert!(anchors.contains("a-title") && anchors.contains("why-it-is"));
        assert_eq!(links(TEXT), ["x.md#y", "z.svg"]);
    }
}
