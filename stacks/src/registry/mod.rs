//! The registry of telemetry in `docs/telemetry/registry`: every span, metric, attribute and log event of the services, in
//! OpenTelemetry's semantic-convention format. Documents are generated from it, and what leaves the services is compared
//! with it.
//!
//! ```text
//!  YAML ──► format ──► read ──► model ──┬──► judge   spans, lines, data points
//!                                       ├──► page    /metrics
//!                                       └──► tables  docs/metrics.md, docs/attributes.md, telemetry/REFERENCE.md
//! ```

mod format;
pub mod judge;
pub mod model;
mod page;
pub mod read;
mod tables;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use serde_json::Value;

use self::read::CONVENTIONS;
pub use self::{
    judge::{FORM, Point, Source},
    model::Registry,
    tables::{has_tables, with_tables},
};

/// The files of the registry, as they were when this program was built.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [
            (CONVENTIONS, include_str!("../../../docs/telemetry/conventions.yaml")),
            $((
                concat!("docs/telemetry/registry/", $name),
                include_str!(concat!("../../../docs/telemetry/registry/", $name)),
            )),*
        ]
    };
}

pub(crate) const FILES: [(&str, &str); 10] = files![
    "alert.yaml",
    "email.yaml",
    "http.yaml",
    "messaging.yaml",
    "order.yaml",
    "rate_limit.yaml",
    "service.yaml",
    "store.yaml",
    "telemetry.yaml",
];

static BUILT_IN: LazyLock<Registry> = LazyLock::new(|| {
    let read = |text| serde_saphyr::from_str(text).unwrap_or(Value::Null);
    let values: Vec<(&str, Value)> = FILES.into_iter().map(|(file, text)| (file, read(text))).collect();
    read::read(values.iter().map(|(file, value)| (*file, value))).0
});

impl Registry {
    /// The registry of this program's build, whose files have no mistakes: a test reads them.
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }
}
