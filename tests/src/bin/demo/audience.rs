//! People who each look at a document, with the calls of an SDK.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use document_server::client::{Client, Editor, Watch};
use tokio::task::JoinSet;
use yorkies_tests::eventually;

/// How many join at once.
const AT_ONCE: usize = 16;

/// Watches that are opened again when they end.
pub(crate) struct Audience {
    log: Arc<Mutex<Vec<Look>>>,
    size: usize,
    _tasks: JoinSet<()>,
}

/// One stream.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) document: usize,
    pub(crate) server: String,
    pub(crate) ended: Option<Instant>,
}

impl Audience {
    /// One watcher for each document; returns when all of them watch.
    pub(crate) async fn gather(url: &str, keys: &[String]) -> Result<Self> {
        let editors = attach_all(url, keys).await?;
        let log = Arc::<Mutex<Vec<Look>>>::default();
        let mut tasks = JoinSet::new();
        for (document, editor) in editors {
            tasks.spawn(keep_watching(document, editor, log.clone()));
        }
        let this = Self {
            log,
            size: keys.len(),
            _tasks: tasks,
        };
        this.complete().await?;
        Ok(this)
    }

    /// Waits until everybody watches.
    pub(crate) async fn complete(&self) -> Result<()> {
        eventually("everybody watching", async || {
            let (open, all) = (self.open().len(), self.size);
            ensure!(open == all, "{open} of {all} streams are open");
            Ok(())
        })
        .await
    }

    /// The open streams: server by document.
    pub(crate) fn open(&self) -> BTreeMap<usize, String> {
        let looks = lock(&self.log);
        let open = looks.iter().filter(|look| look.ended.is_none());
        open.map(|look| (look.document, look.server.clone()))
            .collect()
    }

    /// The streams that ended since then.
    pub(crate) fn ended_since(&self, moment: Instant) -> Vec<Look> {
        let looks = lock(&self.log);
        let is_one = |look: &&Look| look.ended.is_some_and(|at| at >= moment);
        looks.iter().filter(is_one).cloned().collect()
    }
}

async fn attach_all(url: &str, keys: &[String]) -> Result<Vec<(usize, Editor)>> {
    let mut joining = JoinSet::new();
    let mut editors = Vec::new();
    for (document, key) in keys.iter().enumerate() {
        if joining.len() == AT_ONCE {
            editors.extend(joining.join_next().await.transpose()?.transpose()?);
        }
        let (project, name) = key.split_once('/').context("no shard key")?;
        let (client, name) = (Client::new(url, project), name.to_owned());
        joining.spawn(async move {
            let editor = Editor::attach(client, &format!("reader-{document}"), &name).await?;
            anyhow::Ok((document, editor))
        });
    }
    while let Some(joined) = joining.join_next().await {
        editors.push(joined??);
    }
    Ok(editors)
}

async fn keep_watching(document: usize, editor: Editor, log: Arc<Mutex<Vec<Look>>>) {
    loop {
        // As SDKs do, it comes back at once, whatever ended it.
        let Ok(mut watch) = Watch::document(&editor).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let position = {
            let mut looks = lock(&log);
            looks.push(Look {
                document,
                server: watch.server.clone(),
                ended: None,
            });
            looks.len() - 1
        };
        while watch.next().await.is_ok() {}
        if let Some(look) = lock(&log).get_mut(position) {
            look.ended = Some(Instant::now());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
