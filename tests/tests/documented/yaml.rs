//! Whether a configuration or a members file, or a part of one, is what the
//! control plane takes.

use anyhow::{Result, ensure};
use serde_json::Value;
use yorkies_tests::manual::Block;

use crate::folder::Folder;

/// What the rest of a configuration needs, if a part is shown.
const LEAST: [(&str, &str); 2] = [
    ("registry", "registry: { file: members.yaml }\n"),
    (
        "filter",
        "filter: { module: /usr/local/lib/yorkies/yorkies-filter-HASH.wasm }\n",
    ),
];

/// What a router that is started from it has besides: where the documents have
/// it, or where it is without a word on it.
const STARTED: [(&str, &str); 3] = [
    ("listener", "listener: { address: \"0.0.0.0:8080\" }\n"),
    ("xds", "xds: { listen: \"127.0.0.1:18000\" }\n"),
    ("admin", "admin: { listen: \"127.0.0.1:18001\" }\n"),
];

/// A configuration from which a router can be started, with what is shown of it.
pub(crate) fn startable(shown: &str) -> Result<String> {
    with(&with(shown, &LEAST)?, &STARTED)
}

fn with(shown: &str, sections: &[(&str, &str)]) -> Result<String> {
    let has: Value = serde_saphyr::from_str(shown)?;
    let missing = sections.iter().filter(|(name, _)| has.get(name).is_none());
    Ok(missing.fold(shown.to_owned(), |text, (_, section)| text + section))
}

/// Has the control plane read it.
pub(crate) async fn expect_loads(folder: &Folder, block: &Block) -> Result<()> {
    let shown: Value = serde_saphyr::from_str(&block.text)?;
    let command = if shown.get("members").is_some() {
        folder.write("shown.yaml", &block.text)?;
        "xds-server owner --members shown.yaml project/document"
    } else {
        folder.write("shown.yaml", &with(&block.text, &LEAST)?)?;
        "xds-server validate --config shown.yaml"
    };
    let output = folder.run(command).await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{errors}");
    Ok(())
}
