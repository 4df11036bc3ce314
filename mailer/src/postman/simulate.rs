//! The simulated trouble, asked for and changed while the postman works.

use actix::prelude::*;
use slog::info;
use telemetry::Traced;

use super::{Postman, look};
use crate::simulation::Simulation;

/// The trouble that is simulated.
#[derive(Message)]
#[rtype(result = "Simulation")]
pub struct Simulated;

/// Simulate this trouble until the service stops; answers the same. What is under way is not touched.
#[derive(Message)]
#[rtype(result = "Simulation")]
pub struct Simulate(pub Simulation);

impl Handler<Simulated> for Postman {
    type Result = MessageResult<Simulated>;

    fn handle(&mut self, _: Simulated, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.round.simulation)
    }
}

impl Handler<Traced<Simulate>> for Postman {
    type Result = MessageResult<Traced<Simulate>>;

    fn handle(
        &mut self,
        Traced { span, message }: Traced<Simulate>,
        context: &mut Self::Context,
    ) -> Self::Result {
        let Simulate(simulation) = message;
        self.round.simulation = simulation;
        span.in_scope(|| {
            info!(self.round.log, "simulation changed";
                "simulation.latency_ms" => simulation.latency.as_millis(),
                "simulation.paused" => simulation.paused,
                "simulation.failure_rate" => simulation.failure_rate);
        });
        look(context);
        MessageResult(simulation)
    }
}
