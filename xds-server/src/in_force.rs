//! What the control plane goes by: a configuration whose files were found.

use anyhow::Result;

use crate::checks;
use crate::config::Config;
use crate::module::Module;

/// See the module. Immutable; another one takes its place as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct InForce {
    /// The configuration.
    pub config: Config,
    /// The filter's module, which it names.
    pub module: Module,
}

impl InForce {
    /// Looks for the files that `config` names.
    ///
    /// # Errors
    /// The first of them that cannot be used.
    pub fn of(config: Config) -> Result<Self> {
        let module = checks::files(&config)?;
        Ok(Self { config, module })
    }
}
