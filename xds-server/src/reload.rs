//! What SIGHUP does: files that are followed are looked at now, and the
//! configuration is checked.
//!
//! The configuration itself is read at the start only. Proxies lose nothing by
//! a restart, and so nothing is gained by a second way to change it.

use std::path::Path;

use tracing::{error, info, warn};

use crate::checks;
use crate::config::Config;
use crate::files::LookAgain;

/// Does it. `running` is the configuration that is in force.
pub(crate) fn reload(path: &Path, running: &Config, look_again: &LookAgain) {
    look_again.ask();
    let path_shown = path.display();
    let found = Config::load(path).map_err(anyhow::Error::from);
    match found.and_then(|config| checks::files(&config).map(|_| config)) {
        Ok(config) if config == *running => {
            info!("Members file and certificates are read again; the configuration is as it was");
        }
        Ok(_) => {
            warn!(path = %path_shown, "Configuration has changed: a restart brings it into force");
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
