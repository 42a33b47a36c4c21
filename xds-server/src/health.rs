//! Whether members can serve: between the registry, which says who is there,
//! and the rebalance, which says who owns what.
//!
//! The judge decides, without a clock or a network of its own. It hears
//! of the registry, of checks ([`probe`], each when the [`rounds`] say so), of
//! requests that do not reach members in the reports of filters, and of orders
//! of people. Its roster is that of the rebalance. Without a configuration
//! nothing is checked, and whoever is listed serves, but for those who are
//! drained by order.

use std::path::Path;
use std::sync::Arc;

use sharding::Roster;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config;
use crate::fleet::Fleet;
use crate::rebalance::Board;

mod collector;
mod judge;
mod kept;
mod order;
mod probe;
mod rounds;
mod shown;
mod station;

pub use collector::register;
pub use order::{Order, OrderRefused};
pub use shown::{MemberHealth, MemberState, Shown};

use collector::Counts;
use judge::Judge;
use station::{Asked, Parts, Station};

/// Orders that wait to be heard.
const MAX_ORDERS: usize = 64;

/// Who serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// They.
    pub roster: Roster,
    /// Members that were ejected since the start: when it has grown, the roster
    /// is urgent.
    pub ejections: u64,
}

impl From<Roster> for Serving {
    fn from(roster: Roster) -> Self {
        Self {
            roster,
            ejections: 0,
        }
    }
}

/// Where others ask about members, and give orders.
#[derive(Debug)]
pub struct Health {
    orders: mpsc::Sender<Asked>,
    shown: watch::Receiver<Shown>,
    counts: Arc<Counts>,
}

impl Health {
    /// What is known now.
    #[must_use]
    pub fn shown(&self) -> Shown {
        self.shown.borrow().clone()
    }

    /// Has an order carried out, and saved.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn order(&self, id: &str, order: Order) -> Result<(), OrderRefused> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked {
            id: id.to_owned(),
            order,
            answer,
        };
        let sent = self.orders.send(asked).await;
        sent.map_err(|_| OrderRefused::Closed)?;
        answered.await.unwrap_or(Err(OrderRefused::Closed))
    }
}

impl Default for Health {
    /// Of nobody.
    fn default() -> Self {
        Self {
            orders: mpsc::channel(1).0,
            shown: watch::channel(Shown::default()).1,
            counts: Arc::default(),
        }
    }
}

/// Follows the registry's `rosters` for as long as somebody receives who serves.
/// `last` served before this process; `state_file` is what the file with drained
/// and ejected members stands beside.
#[must_use]
pub fn start(
    settings: Option<&config::Health>,
    state_file: &Path,
    last: Option<&Roster>,
    rosters: watch::Receiver<Option<Roster>>,
    fleet: Arc<Fleet>,
    board: Arc<Board>,
) -> (Arc<Health>, watch::Receiver<Option<Serving>>) {
    let path = kept::path(state_file);
    let kept = kept::read(&path);
    let (orders, asked) = mpsc::channel(MAX_ORDERS);
    let (shown, shown_receiver) = watch::channel(Shown::default());
    let (serving, serving_receiver) = watch::channel(None);
    let counts = Arc::<Counts>::default();
    let station = Station::new(Parts {
        judge: Judge::new(settings.cloned(), last, kept.clone()),
        settings: settings.cloned().map(Arc::new),
        store: kept::Store::start(path, kept),
        fleet,
        board,
        rosters,
        asked,
        serving,
        shown,
        counts: Arc::clone(&counts),
    });
    tokio::spawn(station.run());
    let health = Health {
        orders,
        shown: shown_receiver,
        counts,
    };
    (Arc::new(health), serving_receiver)
}
