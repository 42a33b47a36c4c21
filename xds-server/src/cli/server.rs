//! Which running server is asked, and on whose behalf.

use std::path::PathBuf;

use clap::Args;

use crate::client::{RunningServer, ServerUrl};
use crate::token::{Token, TokenError};

/// A control plane that runs.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// Its admin interface.
    #[arg(long, value_name = "URL", env = "YORKIES_ADMIN", default_value_t = ServerUrl::local_admin())]
    admin: ServerUrl,
    #[command(flatten)]
    token: TokenFile,
}

/// What allows changes.
#[derive(Debug, Args)]
pub(super) struct TokenFile {
    /// File with the token of its `admin.token_file`, which it wants to see of whoever changes something.
    #[arg(long, value_name = "FILE", env = "YORKIES_ADMIN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

impl Server {
    pub(super) fn running(&self) -> Result<RunningServer, TokenError> {
        self.token.show_to(&self.admin)
    }
}

impl TokenFile {
    /// That server, asked on behalf of whoever has the token.
    pub(super) fn show_to(&self, url: &ServerUrl) -> Result<RunningServer, TokenError> {
        Ok(RunningServer {
            url: url.clone(),
            token: self.token_file.as_deref().map(Token::read).transpose()?,
        })
    }
}
