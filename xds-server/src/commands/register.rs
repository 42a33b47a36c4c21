//! The agent: registers a member for as long as a command runs, or until it is
//! told to stop.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tracing::info;

use crate::client::{RunningServer, ServerUrl};
use crate::lease::{DEFAULT_TTL, TTLS};
use crate::token::TokenError;

mod held;

use held::Held;

/// What is registered.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asked {
    /// Stable name of the member: under the same one it gets the same keys.
    #[arg(long, env = "YORKIES_REGISTER_ID")]
    id: String,
    /// Where it serves, as proxies reach it.
    #[arg(long, value_name = "IP:PORT", env = "YORKIES_REGISTER_ADDRESS")]
    address: SocketAddr,
    /// Its share of the keys.
    #[arg(long, default_value_t = 1, env = "YORKIES_REGISTER_WEIGHT")]
    weight: u32,
    /// Which run of the server it is [default: with COMMAND another for each start, else none]
    #[arg(long, value_name = "TEXT", env = "YORKIES_REGISTER_INCARNATION")]
    incarnation: Option<String>,
    /// Port at which the control plane asks it for its health [default: that of health.port]
    #[arg(long, value_name = "PORT", env = "YORKIES_REGISTER_HEALTH_PORT")]
    health_port: Option<NonZeroU16>,
    /// What answers with a success once the server can serve; without it, it can at once.
    #[arg(long, value_name = "URL", env = "YORKIES_REGISTER_HEALTH")]
    health: Option<ServerUrl>,
    /// How long the member stays when it is not heard of, 1s to 1h.
    #[arg(long, value_name = "DURATION", env = "YORKIES_REGISTER_TTL", default_value_t = DEFAULT_TTL.into(), value_parser = ttl)]
    ttl: humantime::Duration,
    /// The server: it is started, and registered until it ends.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

fn ttl(text: &str) -> Result<humantime::Duration, String> {
    let ttl: humantime::Duration = text
        .parse()
        .map_err(|_| format!("{text:?} is no duration"))?;
    if TTLS.contains(&*ttl) {
        return Ok(ttl);
    }
    Err("expected 1s to 1h".to_owned())
}

/// The control plane with the token as it stands in its file at that moment.
type ControlPlane = Arc<dyn Fn() -> Result<RunningServer, TokenError> + Send + Sync>;

/// Runs until the command ends, or a signal ends it. The exit code is the
/// command's. `control_plane` is asked for each request.
pub(crate) fn register(
    asked: Asked,
    control_plane: impl Fn() -> Result<RunningServer, TokenError> + Send + Sync + 'static,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(run(asked, Arc::new(control_plane)))
}

async fn run(mut asked: Asked, control_plane: ControlPlane) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut server = start(&asked.command)?;
    if server.is_some() && asked.incarnation.is_none() {
        asked.incarnation = Some(this_run());
    }
    let mut held = Held::new(asked, control_plane);
    loop {
        let pause = match held.step().await {
            Ok(pause) => pause,
            Err(lost) => {
                // Two servers under one name: this is the one that is not asked.
                stop(server.as_mut(), Signal::TERM)?;
                ended(server.as_mut()).await?;
                return Err(lost.into());
            }
        };
        let signal = tokio::select! {
            () = sleep(pause) => continue,
            status = ended(server.as_mut()), if server.is_some() => {
                held.release().await;
                return Ok(code(status?));
            }
            _ = terminate.recv() => Signal::TERM,
            _ = interrupt.recv() => Signal::INT,
        };
        // Requests first go elsewhere, then the server ends.
        held.release().await;
        stop(server.as_mut(), signal)?;
        let status = ended(server.as_mut()).await?;
        return Ok(code(status));
    }
}

fn start(command: &[OsString]) -> anyhow::Result<Option<Child>> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(None);
    };
    let started = Command::new(program).args(arguments).spawn();
    let server = started.with_context(|| format!("{} does not start", program.display()))?;
    info!(pid = server.id(), "Server started");
    Ok(Some(server))
}

/// Unlike any before on this machine, unless its clock goes back.
fn this_run() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.map_or(0, |since| since.as_millis());
    format!("{ms:x}-{:x}", std::process::id())
}

fn stop(server: Option<&mut Child>, signal: Signal) -> anyhow::Result<()> {
    let pid = server.and_then(|server| server.id());
    let pid = pid.and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // One that has just ended is not waited for yet, so the number is its own.
        kill_process(pid, signal).context("the server cannot be told to stop")?;
    }
    Ok(())
}

/// The status of the server; a success if there is none.
async fn ended(server: Option<&mut Child>) -> anyhow::Result<ExitStatus> {
    match server {
        Some(server) => Ok(server.wait().await?),
        None => Ok(ExitStatus::default()),
    }
}

/// As a shell has it.
fn code(status: ExitStatus) -> ExitCode {
    let by_signal = || status.signal().map(|signal| 128 + signal);
    let code = status.code().or_else(by_signal).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
