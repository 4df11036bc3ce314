//! The Docker stacks: Classic, LGTM and ELK, each a Compose file below `stacks/` that includes the checkout itself.
//!
//! The engine is the truth about what runs; nothing is remembered here. All of it is one Compose project, so that ELK
//! can run beside Classic or LGTM: the services are then told to send to both.

pub mod check;
mod credentials;
pub mod doctor;
mod down;
pub mod engine;
pub mod files;
mod guide;
pub mod plan;
pub mod service;
mod start;
mod up;
pub mod variables;

use std::{
    fmt,
    path::{Path, PathBuf},
};

pub use self::{
    down::{down, down_all},
    up::{bring_up, refuse_beside_docker, up},
};

/// The Compose project, unless `COMPOSE_PROJECT_NAME` names another.
pub const PROJECT: &str = "omnitrace";

/// What the checkout is observed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// Prometheus, Alertmanager, Grafana, Loki, Jaeger
    Classic,
    /// Loki, Grafana, Tempo, Mimir
    Lgtm,
    /// Elasticsearch, Logstash, Kibana, Filebeat, APM Server
    Elk,
}

impl Kind {
    /// All of them; where one of several is to be chosen, the first.
    pub const ALL: [Self; 3] = [Self::Classic, Self::Lgtm, Self::Elk];

    /// Its name in commands and folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Lgtm => "lgtm",
            Self::Elk => "elk",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Classic => "Classic",
            Self::Lgtm => "LGTM",
            Self::Elk => "ELK",
        }
    }

    /// Whether both can run at once: Classic and LGTM have Grafana, Loki, Prometheus and their ports in common.
    pub fn fits_beside(self, other: Self) -> bool {
        self == other || self == Self::Elk || other == Self::Elk
    }

    /// Its Compose file.
    pub fn file(self, root: &Path) -> PathBuf {
        root.join("stacks").join(self.name()).join("compose.yaml")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
