//! The simulated processor, asked for and changed while the ledger works.

use actix::prelude::*;
use slog::info;
use telemetry::Traced;

use super::Ledger;
use crate::simulation::Simulation;

/// How the simulated processor behaves.
#[derive(Message)]
#[rtype(result = "Simulation")]
pub struct Simulated;

/// Let the simulated processor behave like this until the service stops; answers the same.
#[derive(Message)]
#[rtype(result = "Simulation")]
pub struct Simulate(pub Simulation);

impl Handler<Simulated> for Ledger {
    type Result = MessageResult<Simulated>;

    fn handle(&mut self, _: Simulated, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.rules.simulation)
    }
}

impl Handler<Traced<Simulate>> for Ledger {
    type Result = MessageResult<Traced<Simulate>>;

    fn handle(&mut self, Traced { span, message }: Traced<Simulate>, _: &mut Self::Context) -> Self::Result {
        let Simulate(simulation) = message;
        self.rules.simulation = simulation;
        span.in_scope(|| {
            info!(self.log, "simulation changed";
                "simulation.latency_ms" => simulation.latency.as_millis(),
                "simulation.decline_rate" => simulation.decline_rate,
                "simulation.failure_rate" => simulation.failure_rate);
        });
        MessageResult(simulation)
    }
}
