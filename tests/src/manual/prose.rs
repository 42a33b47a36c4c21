//! The commands within sentences, `like this`.

use std::path::Path;

/// What a command starts with, be it with a path before it.
const PROGRAMS: [&str; 26] = [
    "apt-get",
    "cargo",
    "cp",
    "curl",
    "docker",
    "docker-compose",
    "envoy",
    "etcdctl",
    "git",
    "grep",
    "jq",
    "kill",
    "kubectl",
    "make",
    "mkdir",
    "node",
    "npm",
    "openssl",
    "pip",
    "printf",
    "promtool",
    "python3",
    "rustup",
    "systemctl",
    "xds-server",
    "yorkie",
];

/// Subcommands of the control plane, of which documents leave out its name where
/// an option follows.
const SUBCOMMANDS: [&str; 8] = [
    "bootstrap",
    "member",
    "owner",
    "plan",
    "register",
    "serve",
    "status",
    "validate",
];

/// A command within a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// File and line, for a person.
    pub place: String,
    /// The command, with the name of its program.
    pub command: String,
}

/// Those of the document at `path`, in order. A program's name alone is none.
pub(super) fn mentions(path: &Path, text: &str) -> Vec<Mention> {
    let mut found = Vec::new();
    for (line, paragraph) in paragraphs(text) {
        let mut before = String::new();
        for (index, part) in paragraph.split('`').enumerate() {
            if index % 2 == 1
                && let Some(command) = command(part)
            {
                let line = line + before.matches('\n').count();
                let place = format!("{}:{line}", path.display());
                found.push(Mention { place, command });
            }
            before.push_str(part);
        }
    }
    found
}

/// What is neither a block nor empty, with the number of its first line.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let mut paragraphs: Vec<(usize, String)> = Vec::new();
    let (mut is_code, mut goes_on) = (false, false);
    for (line, number) in text.lines().zip(1..) {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        if is_code || is_fence || line.is_empty() {
            goes_on = false;
        } else if let (true, Some((_, paragraph))) = (goes_on, paragraphs.last_mut()) {
            paragraph.push('\n');
            paragraph.push_str(line);
        } else {
            paragraphs.push((number, line.to_owned()));
            goes_on = true;
        }
    }
    paragraphs
}

fn command(code: &str) -> Option<String> {
    let words: Vec<_> = code.split_whitespace().collect();
    let (first, second) = (words.first()?, words.get(1)?);
    let program = first.rsplit('/').next().unwrap_or(first);
    if PROGRAMS.contains(&program) {
        return Some(words.join(" "));
    }
    let is_short = SUBCOMMANDS.contains(first) && (second.starts_with("--") || *first == "member");
    is_short.then(|| format!("xds-server {}", words.join(" ")))
}

#[test]
fn commands_are_told_from_other_code_in_sentences() {
    let text = "Say `make up`, or `target/release/xds-server\nplan --to X`.\n\n\
        ```sh\nno `make no`\n```\n| `a.b: c` | `status --json` |\n`make` `owner` `envoy/get`\n";
    let found = mentions(Path::new("A.md"), text);
    let told: Vec<_> = found
        .iter()
        .map(|mention| (&*mention.place, &*mention.command))
        .collect();
    let expected = [
        ("A.md:1", "make up"),
        ("A.md:1", "target/release/xds-server plan --to X"),
        ("A.md:7", "xds-server status --json"),
    ];
    assert_eq!(told, expected);
}
