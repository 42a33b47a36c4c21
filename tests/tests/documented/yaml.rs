//! Whether a configuration or a members file, or a part of one, is what the
//! control plane takes.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::folder::Folder;
use crate::markdown::Block;

/// What the rest of a configuration needs, if a part is shown.
const REGISTRY: &str = "registry: { file: members.yaml }\n";
const FILTER: &str = "filter: { module: /usr/local/lib/yorkies/yorkies-filter-HASH.wasm }\n";
const MEMBERS: &str = "members: [{ address: 127.0.0.1:80 }]\n";
const TOKEN: &str = "0123456789abcdef0123456789abcdef\n";

/// Has the control plane read it.
pub(crate) async fn expect_loads(folder: &Folder, block: &Block) -> Result<()> {
    let shown: Value = serde_saphyr::from_str(&block.text)?;
    let command = if shown.get("members").is_some() {
        folder.write("members.yaml", &block.text)?;
        "xds-server owner --members members.yaml project/document"
    } else {
        let mut text = block.text.clone();
        for (section, least) in [("registry", REGISTRY), ("filter", FILTER)] {
            if shown.get(section).is_none() {
                text.push_str(least);
            }
        }
        folder.write("members.yaml", MEMBERS)?;
        folder.write("admin-token", TOKEN)?;
        folder.write("shown.yaml", &text)?;
        "xds-server validate --config shown.yaml"
    };
    let output = folder.run(command).await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{errors}");
    Ok(())
}
