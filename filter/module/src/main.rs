//! `filter-module MODULE --keep LIST --out FOLDER`: see the library.

#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use filter_module::{Keep, store, strip};

/// Takes the callbacks that nobody needs out of a proxy-wasm module, and puts
/// it into a folder under a name that tells its content.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The module as the linker wrote it.
    module: PathBuf,
    /// The list of callbacks that stay.
    #[arg(long)]
    keep: PathBuf,
    /// The folder to write to.
    #[arg(long)]
    out: PathBuf,
    /// What the file is called before its hash.
    #[arg(long, default_value = "yorkies-filter")]
    name: String,
}

fn main() -> Result<()> {
    let Arguments {
        module,
        keep,
        out,
        name,
    } = Arguments::parse();
    let list: Keep = fs::read_to_string(&keep)
        .with_context(|| format!("no list {}", keep.display()))?
        .parse()
        .with_context(|| format!("list {}", keep.display()))?;
    let wasm = fs::read(&module).with_context(|| format!("no module {}", module.display()))?;
    let stripped =
        strip(&wasm, &list).with_context(|| format!("{} is not stripped", module.display()))?;
    let stored = store(&stripped.wasm, &out, &name)?;
    println!(
        "{} ({} callbacks removed, {} KiB of {})",
        stored.file.display(),
        stripped.removed.len(),
        stripped.wasm.len() / 1024,
        wasm.len() / 1024,
    );
    Ok(())
}
