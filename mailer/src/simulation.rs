//! Simulated trouble with sending, which can be changed while the mailer runs.

use std::time::Duration;

use payment_api::simulation::{Reader, in_words};
use serde::{Deserialize, Serialize};
use telemetry::problem::Problem;

/// How sending behaves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// Time that sending takes.
    #[serde(serialize_with = "in_words")]
    pub latency: Duration,
    /// Nothing new is sent: e-mails wait in the inbox.
    pub paused: bool,
    /// Share of attempts that fail before the transport is tried, 0 to 1; such an e-mail is tried again.
    pub failure_rate: f64,
}

/// A simulation as it is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wanted {
    latency: Option<String>,
    paused: Option<bool>,
    failure_rate: Option<f64>,
}

impl Wanted {
    /// The simulation, with the values of `start` for what is left out.
    ///
    /// # Errors
    /// Names every field that is not acceptable.
    pub fn over(&self, start: Simulation) -> Result<Simulation, Problem> {
        let mut reader = Reader::default();
        let simulation = Simulation {
            latency: reader.latency(self.latency.as_deref(), start.latency),
            paused: self.paused.unwrap_or(start.paused),
            failure_rate: reader.share("/failureRate", self.failure_rate, start.failure_rate),
        };
        reader.finish(simulation)
    }
}
