//! No document leads nowhere.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use yorkies_tests::{anchors, links, workspace};

#[test]
fn every_link_within_the_documents_has_a_file_and_a_section() -> Result<()> {
    let mut documents = vec![
        workspace().join("README.md"),
        workspace().join("CHANGELOG.md"),
    ];
    for entry in fs::read_dir(workspace().join("docs"))? {
        documents.push(entry?.path());
    }
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    ensure!(documents.len() > 5, "only {documents:?}");
    let mut problems = Vec::new();
    for document in &documents {
        let text = fs::read_to_string(document)?;
        for link in links(&text) {
            if !link.contains("://") && !leads(document, link)? {
                problems.push(format!("{}: {link}", document.display()));
            }
        }
    }
    ensure!(problems.is_empty(), "{problems:#?}");
    Ok(())
}

fn leads(from: &Path, link: &str) -> Result<bool> {
    let (file, section) = link.split_once('#').unwrap_or((link, ""));
    let folder = from.parent().context("no folder")?;
    let file: PathBuf = match file {
        "" => from.to_owned(),
        file => folder.join(file),
    };
    if section.is_empty() || !file.is_file() {
        return Ok(section.is_empty() && file.exists());
    }
    Ok(anchors(&fs::read_to_string(file)?).contains(section))
}
