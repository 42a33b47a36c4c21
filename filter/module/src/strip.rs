//! Taking away the callbacks that nobody needs.

use thiserror::Error;
use walrus::{ExportItem, Module};

use crate::keep::Keep;

/// Exported for the host like a callback, but not one: its allocator.
const ALLOCATOR: &str = "proxy_on_memory_allocate";

/// A module without the callbacks that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stripped {
    /// The module.
    pub wasm: Vec<u8>,
    /// Callbacks that are no longer exported.
    pub removed: Vec<String>,
}

/// Why a module cannot be stripped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StripError {
    /// Not WebAssembly, or not valid.
    #[error("not a WebAssembly module: {0:#}")]
    Unreadable(anyhow::Error),
    /// A name of the list is none of the module's callbacks.
    #[error("the module exports no callback {0}: it stays out of the list or is misspelt")]
    NotExported(String),
}

/// Whether an export of that name is a callback: something that the host calls
/// when there is something to tell.
#[must_use]
pub fn is_callback(name: &str) -> bool {
    name.starts_with("proxy_on_") && name != ALLOCATOR
}

/// Takes away every exported callback that is not in the list, and everything
/// that only they used. All other exports stay.
///
/// # Errors
/// When this is no module, or not one with every callback of the list.
pub fn strip(wasm: &[u8], keep: &Keep) -> Result<Stripped, StripError> {
    let mut module = Module::from_buffer(wasm).map_err(StripError::Unreadable)?;
    let callbacks: Vec<_> = module
        .exports
        .iter()
        .filter(|export| matches!(export.item, ExportItem::Function(_)))
        .filter(|export| is_callback(&export.name))
        .map(|export| (export.id(), export.name.clone()))
        .collect();
    let missing = keep
        .names()
        .find(|name| callbacks.iter().all(|(_, callback)| callback != name));
    if let Some(name) = missing {
        return Err(StripError::NotExported(name.to_owned()));
    }
    let mut removed = Vec::new();
    for (id, name) in callbacks {
        if !keep.contains(&name) {
            module.exports.delete(id);
            removed.push(name);
        }
    }
    removed.sort_unstable();
    walrus::passes::gc::run(&mut module);
    Ok(Stripped {
        wasm: module.emit_wasm(),
        removed,
    })
}
