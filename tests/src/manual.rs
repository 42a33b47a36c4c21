//! The documents for people, as far as tests hold them to what they say: the
//! commands in their blocks and sentences, and what these are said to print.

mod blocks;
mod expected;
mod prose;
mod scene;

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::workspace;

pub use blocks::Block;
pub use expected::{expect_alike, expect_equal};
pub use prose::Mention;
pub use scene::{Part, Scene};

/// One of them.
#[derive(Debug)]
pub struct Document {
    /// Below the workspace.
    pub path: PathBuf,
    /// Its blocks, in order.
    pub parts: Vec<Part>,
    /// The commands in its sentences, in order.
    pub mentions: Vec<Mention>,
}

/// The README and the documents in `docs`, in the order of their paths.
pub fn documents() -> Result<Vec<Document>> {
    let mut paths = vec![PathBuf::from("README.md")];
    for entry in fs::read_dir(workspace().join("docs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path.strip_prefix(workspace())?.to_owned());
        }
    }
    paths.sort();
    let document = |path: PathBuf| {
        let text = fs::read_to_string(workspace().join(&path))?;
        Ok(Document {
            parts: scene::parts(&path, &text)?,
            mentions: prose::mentions(&path, &text),
            path,
        })
    };
    paths.into_iter().map(document).collect()
}
