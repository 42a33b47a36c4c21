//! The code blocks of a document, and what an invisible comment right before
//! each says of it.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// A fenced block.
#[derive(Debug, Clone)]
pub struct Block {
    /// File and line, for a person.
    pub place: String,
    /// What follows the fence: `sh`, `text`.
    pub language: String,
    /// What is between the fences.
    pub text: String,
    /// The comment, without its brackets.
    pub comment: Option<String>,
    /// How many headings are before it.
    pub section: usize,
}

/// The blocks of the document at `path`, in order.
pub(super) fn blocks(path: &Path, text: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let (mut section, mut comment) = (0, None);
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let fence = line.trim_start();
        if let Some(language) = fence.strip_prefix("```") {
            let place = format!("{}:{number}", path.display());
            let mut text = String::new();
            loop {
                let (line, _) = lines.next().with_context(|| format!("{place}: no end"))?;
                if line.trim_start() == "```" {
                    break;
                }
                text.push_str(line);
                text.push('\n');
            }
            if language.is_empty() {
                bail!("{place}: says no language");
            }
            blocks.push(Block {
                place,
                language: language.to_owned(),
                text,
                comment: comment.take(),
                section,
            });
        } else if !line.is_empty() {
            section += usize::from(line.starts_with('#'));
            comment = commented(line);
        }
    }
    Ok(blocks)
}

fn commented(line: &str) -> Option<String> {
    let inner = line.strip_prefix("<!--")?.strip_suffix("-->")?;
    Some(inner.trim().to_owned())
}

#[test]
fn a_block_has_its_place_and_the_comment_before_it() -> Result<()> {
    let text = "# One\n<!-- picture -->\n\n```text\na\n\n```\nmore\n## Two\n<!-- x -->\nno\n```sh\n# b\n```\n";
    let found = blocks(Path::new("A.md"), text)?;
    let told: Vec<_> = found
        .iter()
        .map(|block| {
            let comment = block.comment.as_deref();
            (
                &*block.place,
                &*block.language,
                &*block.text,
                comment,
                block.section,
            )
        })
        .collect();
    let expected = [
        ("A.md:4", "text", "a\n\n", Some("picture"), 1),
        ("A.md:12", "sh", "# b\n", None, 2),
    ];
    anyhow::ensure!(told == expected, "{told:?}");
    Ok(())
}
