//! Files that are looked at again: when they change, and when somebody asks.

use std::path::Path;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, watch};
use tracing::warn;

/// Through which everybody who follows files is asked to look at them now.
#[derive(Debug, Clone, Default)]
pub struct LookAgain(watch::Sender<()>);

/// Tells when to look at some files again.
#[derive(Debug)]
pub(crate) struct Touches {
    touched: mpsc::Receiver<()>,
    asked: watch::Receiver<()>,
    _watcher: Option<RecommendedWatcher>,
}

impl LookAgain {
    /// Asks them.
    pub fn ask(&self) {
        self.0.send_replace(());
    }

    /// Follows the files at `paths`.
    ///
    /// Their folders are watched, not they: an atomic replacement, by `rename`
    /// or by Kubernetes' symbolic links, gives the name to another file. Where
    /// that does not work, only [`ask`](Self::ask) tells; whoever follows files
    /// looks from time to time anyway, as some file systems tell nothing.
    pub(crate) fn follow<'a>(&self, paths: impl IntoIterator<Item = &'a Path>) -> Touches {
        let (touch, touched) = mpsc::channel(1);
        Touches {
            touched,
            asked: self.0.subscribe(),
            _watcher: watch_folders(paths, touch),
        }
    }
}

impl Touches {
    /// Completes once something was touched, or somebody asked.
    pub(crate) async fn next(&mut self) {
        // Nothing is watched, or nobody can ask any more.
        let touched = async {
            if self.touched.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        };
        let asked = async {
            if self.asked.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = touched => {}
            () = asked => {}
        }
    }

    /// One that is told by what is sent, for tests.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (mpsc::Sender<()>, Self) {
        let (touch, touched) = mpsc::channel(1);
        let this = Self {
            touched,
            asked: watch::Sender::new(()).subscribe(),
            _watcher: None,
        };
        (touch, this)
    }
}

fn watch_folders<'a>(
    paths: impl IntoIterator<Item = &'a Path>,
    touch: mpsc::Sender<()>,
) -> Option<RecommendedWatcher> {
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A full channel already says that something was touched.
            let _ = touch.try_send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            warn!(%error, "Files cannot be watched, they are read periodically");
            return None;
        }
    };
    for path in paths {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            warn!(%error, folder = %folder.display(), "Folder cannot be watched, its file is read periodically");
        }
    }
    Some(watcher)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_file_in_any_of_the_folders_is_noticed_and_so_is_who_asks() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let files = folders.each_ref().map(|folder| folder.path().join("file"));
        let look_again = LookAgain::default();
        let mut touches = look_again.follow(files.iter().map(|file| &**file));
        let soon = async |touches: &mut Touches| {
            let next = timeout(Duration::from_secs(10), touches.next()).await;
            next.expect("something was touched");
        };
        for file in &files {
            fs::write(file, "1").unwrap();
            soon(&mut touches).await;
        }
        // What comes of one write can be several touches.
        while timeout(Duration::from_millis(100), touches.next())
            .await
            .is_ok()
        {}
        look_again.ask();
        soon(&mut touches).await;
    }
}
