//! How much goes on at a time; the table of all metrics is in [`super`].

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use crate::metric::gauge;

#[derive(Debug)]
struct Tasks;

/// Adds the number of tasks to `registry`, whose prefix it shares.
pub(super) fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(Tasks));
}

impl Collector for Tasks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let runtime = Handle::try_current();
        let tasks = runtime.map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        let help = "Tasks of the process, at work or waiting";
        gauge(&mut encoder, "tasks", help, tasks as u64)
    }
}
