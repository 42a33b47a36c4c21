//! Who edits: each as fast as it is answered, and as the JS SDK does when it is
//! refused.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use document_server::client::{CallError, Client, Editor};
use document_server::log::Moment;
use tokio::task::JoinSet;

/// Before a call is made again that was refused for a passing reason.
const RETRY: Duration = Duration::from_millis(20);

/// An edit that a server has said to have.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) document: String,
    pub(crate) text: String,
    pub(crate) at_ns: u64,
}

/// A call that was not answered, or with an error.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) method: &'static str,
    /// `code` or, where no error came, `no answer`.
    pub(crate) code: String,
    pub(crate) message: String,
    /// Whether the SDK would stop synchronising for good.
    pub(crate) is_lasting: bool,
}

/// What all of them have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) acknowledged: Vec<Acknowledged>,
    pub(crate) refusals: Vec<Refusal>,
    /// The proxy that a client goes through, by its id.
    pub(crate) proxies: BTreeMap<String, usize>,
}

pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    tasks: JoinSet<()>,
}

struct Writer {
    name: String,
    document: String,
    proxy: usize,
    client: Client,
    pause: Duration,
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
}

impl Writers {
    /// Starts one for each document and proxy.
    pub(crate) fn start(
        urls: &[String],
        project: &str,
        documents: &[String],
        pause: Duration,
    ) -> Self {
        let (stop, seen) = (Arc::default(), Arc::default());
        let mut tasks = JoinSet::new();
        for document in documents {
            for (proxy, url) in urls.iter().enumerate() {
                let writer = Writer {
                    name: format!("{document}-writer-{proxy}"),
                    document: document.clone(),
                    proxy,
                    client: Client::new(url, project),
                    pause,
                    stop: Arc::clone(&stop),
                    seen: Arc::clone(&seen),
                };
                tasks.spawn(writer.run());
            }
        }
        Self { stop, seen, tasks }
    }

    /// The proxy that a client goes through, by its id.
    pub(crate) fn proxies(&self) -> BTreeMap<String, usize> {
        lock(&self.seen).proxies.clone()
    }

    /// How many edits were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        lock(&self.seen).acknowledged.len()
    }

    pub(crate) async fn stop(mut self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        Ok(std::mem::take(&mut *lock(&self.seen)))
    }
}

impl Writer {
    async fn run(self) {
        let mut clients = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let name = format!("{}-{clients}", self.name);
            clients += 1;
            match Editor::attach(self.client.clone(), &name, &self.document).await {
                Ok(editor) => {
                    lock(&self.seen)
                        .proxies
                        .insert(editor.id.clone(), self.proxy);
                    self.edit(editor, &name).await;
                }
                Err(error) => {
                    self.note("attach", &error);
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Edits until a refusal after which the SDK would edit no more: another
    /// client takes its place.
    async fn edit(&self, mut editor: Editor, name: &str) {
        for number in 0_u64.. {
            let text = format!("{name}-{number}");
            loop {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                match editor.sync(&[&text]).await {
                    Ok(_) => break,
                    Err(error) if self.note("push", &error) => return,
                    Err(_) => tokio::time::sleep(RETRY).await,
                }
            }
            lock(&self.seen).acknowledged.push(Acknowledged {
                document: self.document.clone(),
                text,
                at_ns: Moment::now().monotonic_ns,
            });
            tokio::time::sleep(self.pause).await;
        }
    }

    fn note(&self, method: &'static str, error: &CallError) -> bool {
        let code = match error.refusal() {
            Some(error) => error["code"].as_str().unwrap_or("unknown").to_owned(),
            None => "no answer".to_owned(),
        };
        // After these it tries again (facts of the JS SDK: see the tests of the document server).
        let is_lasting = !["unavailable", "resource_exhausted", "no answer"].contains(&&*code);
        lock(&self.seen).refusals.push(Refusal {
            method,
            code,
            message: error.to_string(),
            is_lasting,
        });
        is_lasting
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
