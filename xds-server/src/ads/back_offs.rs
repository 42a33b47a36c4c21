//! When a stream sends again what its proxy refused.

use std::future::pending;

use tokio::time::{Instant, sleep_until};

use crate::ads::progress::Progress;
use crate::snapshot::ResourceType;

/// A moment for each type of which something was refused.
#[derive(Debug, Default)]
pub(crate) struct BackOffs([Option<Instant>; ResourceType::ALL.len()]);

impl BackOffs {
    /// Starts the pause of a type anew, as the proxy has just refused something.
    pub(crate) fn restart(&mut self, kind: ResourceType, progress: &Progress) {
        let pause = progress.pause();
        self.0[kind as usize] = pause.map(|pause| Instant::now() + pause);
    }

    /// Completes, with the type, when a pause is over; another begins, in case
    /// the proxy does not answer what it is sent now.
    pub(crate) async fn over<'a>(
        &mut self,
        progress: impl Fn(ResourceType) -> &'a Progress,
    ) -> ResourceType {
        loop {
            let of = |kind: ResourceType| Some((self.0[kind as usize]?, kind));
            let Some((moment, kind)) = ResourceType::ALL.into_iter().filter_map(of).min() else {
                return pending().await;
            };
            sleep_until(moment).await;
            self.restart(kind, progress(kind));
            // It may have been mended meanwhile.
            if self.0[kind as usize].is_some() {
                return kind;
            }
        }
    }
}
