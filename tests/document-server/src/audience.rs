//! People who each watch a document through a router, and what a person at the
//! terminal sees of it: who serves them, and whose stream ended and came back.

mod crowd;
mod tally;

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::Client;
use crowd::Crowd;
use tally::Tally;

/// What happens within so long of each other is told together.
const QUIET: Duration = Duration::from_secs(1);

/// Watches `documents` documents through `client` and tells of it on standard
/// output until it is dropped.
///
/// # Errors
/// When standard output is gone.
pub async fn watch(client: Client, documents: usize) -> io::Result<()> {
    let mut crowd = Crowd::gather(&client, documents);
    let mut tally = Tally::new(documents);
    let mut rest: Option<Instant> = None;
    loop {
        let quiet = async {
            match rest {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(event) = crowd.next() => {
                tally.note(event);
                rest = Some(Instant::now() + QUIET);
            }
            () = quiet => {
                rest = None;
                let mut out = io::stdout().lock();
                out.write_all(tally.told().as_bytes())?;
                out.flush()?;
            }
        }
    }
}
