//! The filter's wasm module, as the control plane sees it.

use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::config::Filter;

/// First bytes of every WebAssembly module: magic and version 1.
const WASM_HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";

/// A module that was found and looks like one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Where the proxies have it.
    pub path_on_proxy: String,
}

/// Why a module is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// The file cannot be read.
    #[error("filter.module {path}: cannot be read: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("filter.module {path}: is not a WebAssembly module", path = .path.display())]
    NotWasm {
        /// The file.
        path: PathBuf,
    },
    /// Envoy takes paths as text.
    #[error("filter.module {path}: is not UTF-8: give filter.module_on_proxy", path = .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

impl Module {
    /// Finds the module that the configuration names.
    ///
    /// # Errors
    /// When the file is not there or not a module.
    pub fn find(filter: &Filter) -> Result<Self, ModuleError> {
        let path = &filter.module;
        let unreadable = |source| ModuleError::Read {
            path: path.clone(),
            source,
        };
        let bytes = fs::read(path).map_err(unreadable)?;
        if !bytes.starts_with(&WASM_HEADER) {
            return Err(ModuleError::NotWasm { path: path.clone() });
        }
        let path_on_proxy = match &filter.module_on_proxy {
            Some(path) => path.clone(),
            None => absolute(path)
                .map_err(unreadable)?
                .into_os_string()
                .into_string()
                .map_err(|path| ModuleError::NotText { path: path.into() })?,
        };
        Ok(Self { path_on_proxy })
    }
}

fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    path.canonicalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(content: &[u8]) -> Result<Module, String> {
        let folder = tempfile::tempdir().unwrap();
        let module = folder.path().join("filter.wasm");
        fs::write(&module, content).unwrap();
        let filter = Filter {
            module,
            module_on_proxy: Some("/etc/envoy/filter.wasm".to_owned()),
        };
        Module::find(&filter).map_err(|error| error.to_string())
    }

    #[test]
    fn a_module_is_known_by_its_first_bytes() {
        let module = find(b"\0asm\x01\0\0\0...").unwrap();
        assert_eq!(module.path_on_proxy, "/etc/envoy/filter.wasm");
        assert!(
            find(b"\x7fELF")
                .unwrap_err()
                .ends_with("is not a WebAssembly module")
        );
    }

    #[test]
    fn a_missing_module_is_named() {
        let filter = Filter {
            module: PathBuf::from("/nowhere/filter.wasm"),
            module_on_proxy: None,
        };
        let error = Module::find(&filter).unwrap_err().to_string();
        assert!(
            error.starts_with("filter.module /nowhere/filter.wasm: cannot be read"),
            "{error}"
        );
    }
}
