//! Real processes on ephemeral ports, and callers of them.
#![allow(dead_code, reason = "every test file uses its own part")]

pub(crate) mod dialect;
pub(crate) mod json;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running `document-server`, killed when dropped.
pub(crate) struct Process {
    child: Child,
    first: Value,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Process {
    /// Starts the store.
    pub(crate) fn store() -> Self {
        Self::start(&["store"])
    }

    /// Starts an instance.
    pub(crate) fn serve(id: &str, store: &Self, more: &[&str]) -> Self {
        let url = store.url();
        let arguments = ["serve", "--id", id, "--store", &url];
        Self::start(&[&arguments, more].concat())
    }

    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_document-server"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut reader = BufReader::new(child.stdout.take().expect("piped"));
        let mut text = String::new();
        reader.read_line(&mut text).expect("a first line");
        let first = serde_json::from_str(&text).expect("the first line is JSON");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("every line is JSON");
                sink.lock().expect("not poisoned").push(line);
            }
        });
        Self {
            child,
            first,
            lines,
        }
    }

    /// What the first line says, for example `listening`.
    pub(crate) fn first(&self, name: &str) -> String {
        self.first[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name} in {}", self.first))
            .to_owned()
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.first("listening"))
    }

    /// The log lines so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.lines.lock().expect("not poisoned").clone()
    }

    /// The log lines so far of one kind.
    pub(crate) fn events(&self, event: &str) -> Vec<Value> {
        self.lines()
            .into_iter()
            .filter(|line| line["event"] == event)
            .collect()
    }

    /// Waits for a log line of one kind. Lines arrive a little after answers.
    pub(crate) async fn line(&self, event: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        eventually(event, async || {
            found = self.events(event).into_iter().find(&wanted);
            found.is_some()
        })
        .await;
        found.expect("was found")
    }

    /// Asks it to stop and waits until it did; how it ended.
    pub(crate) fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("it runs");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("waitable") {
                return status;
            }
            assert!(Instant::now() < end, "still running");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < end, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
