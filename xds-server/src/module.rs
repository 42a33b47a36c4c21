//! The filter's wasm module, as the control plane sees it.

use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::config::Filter;

/// First bytes of every WebAssembly module: magic and version 1.
const WASM_HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";

/// Name of the export by which Envoy knows the ABI that a module speaks.
const ABI: &[u8] = b"proxy_abi_version_0_2_1";

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
    #[error("filter.module {path}: cannot be read: {reason}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file is something else.
    #[error("filter.module {path}: is not a proxy-wasm module of ABI 0.2.1", path = .path.display())]
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
        let unreadable = |reason| ModuleError::Read {
            path: path.clone(),
            reason,
        };
        let bytes = fs::read(path).map_err(unreadable)?;
        let has_abi = bytes.windows(ABI.len()).any(|window| window == ABI);
        if !bytes.starts_with(&WASM_HEADER) || !has_abi {
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
        let module = find(b"\0asm\x01\0\0\0...proxy_abi_version_0_2_1...").unwrap();
        assert_eq!(module.path_on_proxy, "/etc/envoy/filter.wasm");
        assert!(find(b"\0asm\x01\0\0\0").is_err());
        assert!(
            find(b"\x7fELF")
                .unwrap_err()
                .ends_with("is not a proxy-wasm module of ABI 0.2.1")
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
