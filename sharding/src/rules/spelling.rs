//! Paths that a server may read as another than they are written.

use crate::key::percent_decode;

/// Whether every server reads the path, which has no query, as it stands.
pub(super) fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    path.iter().all(|&byte| {
        let in_place = before == b'/' && matches!(byte, b'/' | b'.');
        before = byte;
        byte.is_ascii() && !matches!(byte, b'%' | b'\\') && !in_place
    })
}

/// The path as the most generous server reads it: decoded once, `\` taken for
/// `/`, slashes merged, dot segments resolved.
pub(super) fn as_read(path: &[u8]) -> String {
    const SLASHES: [char; 2] = ['/', '\\'];
    let decoded = percent_decode(path);
    let text = String::from_utf8_lossy(&decoded);
    let mut segments = Vec::new();
    for segment in text.split(SLASHES) {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let end = if segments.is_empty() || !text.ends_with(SLASHES) {
        ""
    } else {
        "/"
    };
    format!("/{}{end}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_read_in_two_ways_is_not_plain() {
        for path in [
            "/yorkie.v1.YorkieService/Watch",
            "/",
            "",
            "/a/b/",
            "/a.b/c..d",
        ] {
            assert!(is_plain(path.as_bytes()), "{path}");
        }
        for path in ["/a//b", "//a", "/%61", "/a\\b", "/a/../b", "/./a", "/é"] {
            assert!(!is_plain(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn every_spelling_is_read_as_the_plain_one() {
        for path in [
            "/a.b/C",
            "//a.b///C",
            "/a.b%2fC",
            "/a.b%2F%2FC",
            "/%61%2Eb/%43",
            "/a.b\\C",
            "%5ca.b%5CC",
            "/x/../a.b/./C",
            "/x%2F..%2Fa.b/C",
            "/../a.b/C",
        ] {
            assert_eq!(as_read(path.as_bytes()), "/a.b/C", "{path}");
        }
        assert_eq!(as_read(b"/a%2f"), "/a/");
        assert_eq!(as_read(b"//"), "/");
        // Once, as servers do.
        assert_eq!(as_read(b"/a%2543"), "/a%43");
    }
}
