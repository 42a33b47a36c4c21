//! Metrics of the present assignment; the table of all is in
//! [`crate::admin`].

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use super::board::Board;
use super::machine::Stage;
use crate::metric::gauge;

#[derive(Debug)]
struct OfBoard(Arc<Board>);

/// Adds the metrics of `board` to `registry`, whose prefix they share.
pub fn register(registry: &mut Registry, board: Arc<Board>) {
    registry.register_collector(Box::new(OfBoard(board)));
}

impl Collector for OfBoard {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shown = self.0.read();
        let encoder = &mut encoder;
        if let Some(current) = &shown.current {
            gauge(encoder, "epoch", "Epoch of the assignment", current.epoch)?;
            let roster = current.members.as_ref();
            let members = roster.map_or(0, |roster| roster.members().len());
            gauge(encoder, "members", "Members that serve", members as u64)?;
        }
        let is_under_way = matches!(shown.stage, Stage::Holding | Stage::Draining);
        gauge(
            encoder,
            "rebalance_under_way",
            "1 while a rebalance holds or drains, else 0",
            is_under_way.into(),
        )
    }
}
