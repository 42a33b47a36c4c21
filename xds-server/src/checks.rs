//! What only the disk can tell of a configuration: whether the files that it
//! names are there and are what they should be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::config::{Config, Etcd, Kubernetes, Yorkie};
use crate::module::Module;
use crate::tls::Tls;
use crate::token::Token;

/// Checks all but the content of the members file, which may come and go while
/// the server runs; returns the filter's module.
pub(crate) fn files(config: &Config) -> Result<Module> {
    let module = Module::find(&config.filter)?;
    let state = &config.state_file;
    if state.is_dir() {
        bail!("state_file {}: is a folder", state.display());
    }
    let folder = match state.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        bail!("state_file {}: its folder does not exist", state.display());
    }
    tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("state_file {}: its folder is not writable", state.display()))?;
    for (setting, path) in [
        ("registry.file", config.registry.file.as_ref()),
        ("filter.module", Some(&config.filter.module)),
        ("admin.token_file", config.admin.token_file.as_ref()),
        (
            "registry.leases.file",
            config.registry.leases.as_ref().map(|leases| &leases.file),
        ),
    ] {
        if path.is_some_and(|path| same_file(state, path)) {
            bail!("state_file {}: is the {setting} too", state.display());
        }
    }
    if let Some(file) = &config.admin.token_file {
        Token::read(file).context("admin.token_file")?;
    }
    config.xds.tls.as_ref().map_or(Ok(()), Tls::check)?;
    let registry = &config.registry;
    let of_etcd = registry.etcd.iter().flat_map(Etcd::files);
    let of_kubernetes = registry.kubernetes.iter().flat_map(Kubernetes::files);
    let of_yorkie = registry.yorkie.iter().flat_map(Yorkie::files);
    for (setting, path) in of_etcd.chain(of_kubernetes).chain(of_yorkie) {
        fs::read(path).with_context(|| format!("{setting} {}: cannot be read", path.display()))?;
    }
    Ok(module)
}

/// Whether both names are of one file; of files that do not exist yet, whether
/// their names are the same in one folder.
fn same_file(a: &Path, b: &Path) -> bool {
    resolved(a).is_some_and(|a| Some(a) == resolved(b))
}

fn resolved(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok().or_else(|| {
        let folder = match path.parent()? {
            folder if folder == Path::new("") => Path::new("."),
            folder => folder,
        };
        Some(fs::canonicalize(folder).ok()?.join(path.file_name()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state_file: &str) -> Result<(), String> {
        check_with(&format!("state_file: {state_file}"))
    }

    fn check_with(setting: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("f.wasm"),
            b"\0asm\x01\0\0\0proxy_abi_version_0_2_1",
        )
        .unwrap();
        fs::write(folder.path().join("m.yaml"), "members: []").unwrap();
        let path = folder.path().join("yorkies.yaml");
        let text = format!("registry: {{file: m.yaml}}\nfilter: {{module: f.wasm}}\n{setting}\n");
        fs::write(&path, text).unwrap();
        let config = Config::load(&path).unwrap();
        files(&config)
            .map(drop)
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_state_file_has_a_place_of_its_own() {
        assert_eq!(check("state.json"), Ok(()));
        for (state_file, message) in [
            ("m.yaml", "is the registry.file too"),
            ("./f.wasm", "is the filter.module too"),
            (".", "is a folder"),
            ("nowhere/state.json", "its folder does not exist"),
        ] {
            let error = check(state_file).unwrap_err();
            assert!(error.starts_with("state_file "), "{error}");
            assert!(error.ends_with(message), "{error}");
        }
    }

    #[test]
    fn a_token_file_has_a_token_from_the_start() {
        for (file, message) in [
            ("m.yaml", "m.yaml: is no token"),
            ("nowhere", "nowhere: cannot be read"),
        ] {
            let error = check_with(&format!("admin: {{token_file: {file}}}")).unwrap_err();
            assert!(error.starts_with("admin.token_file: "), "{error}");
            assert!(error.contains(message), "{error}");
        }
    }
}
