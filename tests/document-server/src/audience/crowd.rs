//! The people: each attaches a document and keeps watching it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::{CallError, Client, Editor, Watch};

/// Between two attempts of one person.
const PAUSE: Duration = Duration::from_millis(100);

/// Something that happened to the watch of a document.
#[derive(Debug)]
pub(super) struct Event {
    /// Number of the document.
    pub(super) document: usize,
    /// What it was.
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A stream is open on the server of that id.
    Opened(String),
    /// It ended.
    Ended,
    /// An attempt to open it failed.
    Failed,
}

/// Everybody, until dropped.
#[derive(Debug)]
pub(super) struct Crowd {
    events: mpsc::UnboundedReceiver<Event>,
    _people: JoinSet<()>,
}

impl Crowd {
    pub(super) fn gather(client: &Client, documents: usize) -> Self {
        let (send, events) = mpsc::unbounded_channel();
        let mut people = JoinSet::new();
        for document in 0..documents {
            people.spawn(watch(client.clone(), document, send.clone()));
        }
        Self {
            events,
            _people: people,
        }
    }

    pub(super) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// Comes back whatever ends the stream, as SDKs do.
async fn watch(client: Client, document: usize, events: mpsc::UnboundedSender<Event>) {
    let tell = |what| drop(events.send(Event { document, what }));
    let mut editor = None;
    loop {
        if let Ok(mut watch) = open(&client, document, &mut editor).await {
            tell(What::Opened(watch.server.clone()));
            while watch.next().await.is_ok() {}
            tell(What::Ended);
        } else {
            tell(What::Failed);
            sleep(PAUSE).await;
        }
    }
}

async fn open(
    client: &Client,
    document: usize,
    attached: &mut Option<Editor>,
) -> Result<Watch, CallError> {
    let editor = match attached {
        Some(editor) => editor,
        None => attached.insert(
            Editor::attach(
                client.clone(),
                &format!("reader-{document}"),
                &format!("document-{document}"),
            )
            .await?,
        ),
    };
    Watch::document(editor).await
}
