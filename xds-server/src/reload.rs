//! What SIGHUP does: files that are followed are looked at now, and the
//! configuration is read again.
//!
//! It is taken as a whole or not at all. All that proxies are told follows from
//! one [`InForce`], and so what it changes there is what a restart would change.
//! What is in use since the start (ports, files, sources of members) stays: if such
//! a setting has changed nothing is taken, and the log names it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde_json::Value;
use tokio::sync::watch;
use tracing::{error, info};

use crate::config::{Applied, Config, Log, changed};
use crate::files::LookAgain;
use crate::in_force::InForce;

/// Changes what is logged from now on; absent where the command line says what is.
pub(crate) type Relog = Option<Box<dyn Fn(&str) -> Result<()> + Send>>;

/// What a reload needs.
pub(crate) struct Reload {
    /// The configuration file.
    pub(crate) path: PathBuf,
    /// Where what is in force is put.
    pub(crate) in_force: watch::Sender<Arc<InForce>>,
    /// Who follows files.
    pub(crate) look_again: LookAgain,
    /// The log as it was started.
    pub(crate) log: Log,
    /// The log.
    pub(crate) relog: Relog,
}

impl Reload {
    /// Does it, and logs what came of it.
    pub(crate) fn run(&self) {
        self.look_again.ask();
        let running = Arc::clone(&self.in_force.borrow());
        match self.found(&running) {
            Ok(None) => {
                info!(
                    "Members file and certificates are read again; the configuration is as it was"
                );
            }
            Ok(Some((found, changed))) => {
                info!(changed, "Configuration changed");
                info!(config = %self.effective(&found.config), "Configuration");
                self.in_force.send_replace(Arc::new(found));
            }
            Err(error) => {
                let error = format!("{error:#}");
                error!(
                    error,
                    "Configuration refused, the running one stays in force"
                );
            }
        }
    }

    /// The configuration for people, with the log as it is.
    pub(crate) fn effective(&self, config: &Config) -> Value {
        let mut log = self.log.clone();
        if self.relog.is_some() {
            log.filter.clone_from(&config.log.filter);
        }
        let config = config.clone();
        Config { log, ..config }.without_secrets()
    }

    /// What has to be in force now, and what of it is new; nothing if nothing is.
    fn found(&self, running: &InForce) -> Result<Option<(InForce, String)>> {
        let found = InForce::of(Config::load(&self.path)?)?;
        if found == *running {
            return Ok(None);
        }
        let mut changed = changed(&running.config, &found.config);
        let fixed = |setting: &&String| Applied::of(setting) == Applied::ByRestart;
        let fixed: Vec<_> = changed.iter().filter(fixed).cloned().collect();
        if !fixed.is_empty() {
            bail!("a change of {} needs a restart", fixed.join(", "));
        }
        if let Some(relog) = &self.relog {
            relog(&found.config.log.filter)?;
        }
        if found.module != running.module && changed.iter().all(|of| !of.starts_with("filter.")) {
            // The name is a link to another one.
            changed.push("filter.module".to_owned());
        }
        Ok(Some((found, changed.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0proxy_abi_version_0_2_1";

    fn start(folder: &TempDir) -> Reload {
        fs::write(folder.path().join("f.wasm"), MODULE).unwrap();
        let path = folder.path().join("yorkies.yaml");
        write(folder, "");
        let in_force = InForce::of(Config::load(&path).unwrap()).unwrap();
        Reload {
            path,
            in_force: watch::Sender::new(Arc::new(in_force)),
            look_again: LookAgain::default(),
            log: Log::default(),
            relog: None,
        }
    }

    fn write(folder: &TempDir, more: &str) {
        let text = format!("registry: {{file: m.yaml}}\nfilter: {{module: f.wasm}}\n{more}");
        fs::write(folder.path().join("yorkies.yaml"), text).unwrap();
    }

    /// What is new, or why nothing is taken.
    fn found(reload: &Reload) -> Result<Option<String>, String> {
        let running = Arc::clone(&reload.in_force.borrow());
        let found = reload.found(&running).map_err(|error| format!("{error:#}"));
        found.map(|found| found.map(|(_, changed)| changed))
    }

    #[test]
    fn what_can_be_taken_is_taken_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let reload = start(&folder);
        assert_eq!(found(&reload), Ok(None));
        write(&folder, "max_body: 1000\ndrain: {rate: 7}");
        let expected = "drain.rate, max_body".to_owned();
        assert_eq!(found(&reload), Ok(Some(expected)));
        reload.run();
        assert_eq!(reload.in_force.borrow().config.max_body, 1000);
        assert_eq!(found(&reload), Ok(None));
    }

    #[test]
    fn nothing_is_taken_when_a_part_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let reload = start(&folder);
        for (text, problem) in [
            (
                "max_body: 1000\ncluster: other\nxds: {listen: '127.0.0.1:1'}",
                "a change of cluster, xds.listen needs a restart",
            ),
            ("max_body: 1000\nstate_file: .", "is a folder"),
            ("max_body: 0", "max_body: 0 is not usable"),
            ("max_bod: 1000", "unknown field `max_bod`"),
        ] {
            write(&folder, text);
            let error = found(&reload).unwrap_err();
            assert!(error.contains(problem), "{error}");
            reload.run();
            assert_eq!(reload.in_force.borrow().config.max_body, 65536, "{text}");
        }
    }

    #[test]
    fn a_module_behind_the_same_name_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let reload = start(&folder);
        let name = folder.path().join("f.wasm");
        fs::rename(&name, folder.path().join("f-1.wasm")).unwrap();
        std::os::unix::fs::symlink("f-1.wasm", &name).unwrap();
        assert_eq!(found(&reload), Ok(Some("filter.module".to_owned())));
    }

    #[test]
    fn what_is_logged_follows_unless_the_command_line_says_it() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, said) = std::sync::mpsc::channel();
        let reload = Reload {
            relog: Some(Box::new(move |filter| Ok(sender.send(filter.to_owned())?))),
            ..start(&folder)
        };
        write(&folder, "log: {filter: debug}");
        reload.run();
        assert_eq!(said.recv().unwrap(), "debug");
        let config = reload.in_force.borrow().config.clone();
        assert_eq!(config.log.filter, "debug");
        assert_eq!(reload.effective(&config)["log"]["filter"], "debug");
        let told = Reload {
            relog: None,
            ..reload
        };
        assert_eq!(told.effective(&config)["log"]["filter"], "info");
    }
}
