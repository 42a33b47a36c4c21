//! The types of resources.

use anyhow::{Result, bail};
use clap::ValueEnum;

/// A type that a proxy asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Clusters.
    Cds,
    /// Endpoints.
    Eds,
    /// Listeners.
    Lds,
    /// Routes.
    Rds,
    /// Filters.
    Ecds,
}

impl Kind {
    /// All, in the order in which it does.
    pub const ALL: [Self; 5] = [Self::Cds, Self::Eds, Self::Lds, Self::Rds, Self::Ecds];

    pub(crate) fn type_url(self) -> &'static str {
        match self {
            Self::Cds => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Eds => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Lds => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Rds => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::Ecds => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        }
    }

    pub(crate) fn from_type_url(type_url: &str) -> Result<Self> {
        let mut all = Self::ALL.into_iter();
        match all.find(|kind| kind.type_url() == type_url) {
            Some(kind) => Ok(kind),
            None => bail!("resources of type {type_url:?} were not asked for"),
        }
    }
}
