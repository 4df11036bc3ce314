//! The actor Observability: answers to [`Gather`], [`Health`], [`Flush`], [`GetOpenSpans`], [`GetLogLevel`],
//! [`SetLogLevel`] and, at the end, [`Shutdown`]. Sends nothing.
//!
//! It lives on an arbiter of its own, so that a busy service does not delay its telemetry, nor telemetry a service.

use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use crate::Error;
use crate::metrics::Format;
use crate::observability::{HealthReport, LogLevel, Observability};
use crate::trace::OpenSpan;

/// Asks for all metrics, as a page for a scraper.
#[derive(Message)]
#[rtype(result = "Result<String, Error>")]
pub struct Gather(pub Format);

/// Asks for the state of the pipelines.
#[derive(Message)]
#[rtype(result = "HealthReport")]
pub struct Health;

/// Waits until every span, log line and metric so far has left the process.
///
/// With an unreachable receiver that takes as long as it is away: send it with a timeout.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Flush;

/// [`Flush`] until a deadline. True if everything has left.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Shutdown {
    /// When to give up.
    pub deadline: Instant,
}

/// Asks for the spans that are open now, the oldest first.
#[derive(Message)]
#[rtype(result = "Vec<OpenSpan>")]
pub struct GetOpenSpans;

/// Asks for the log levels in force.
#[derive(Message)]
#[rtype(result = "LogLevel")]
pub struct GetLogLevel;

/// Changes the log levels for a while; see [`Observability::set_log_level`].
#[derive(Message)]
#[rtype(result = "Result<LogLevel, String>")]
pub struct SetLogLevel {
    /// `debug`, or `payment=debug` for a module alone.
    pub levels: String,
    /// How long they hold; zero restores the configured ones.
    pub duration: Duration,
}

impl Observability {
    /// Starts the actor on an arbiter of its own.
    pub fn launch(self) -> Addr<Self> {
        let arbiter = Arbiter::new();
        Self::start_in_arbiter(&arbiter.handle(), |_| self)
    }
}

impl Actor for Observability {
    type Context = Context<Self>;
}

impl Handler<Gather> for Observability {
    type Result = Result<String, Error>;

    fn handle(&mut self, Gather(format): Gather, _: &mut Self::Context) -> Self::Result {
        self.gather(format)
    }
}

impl Handler<Health> for Observability {
    type Result = HealthReport;

    fn handle(&mut self, _: Health, _: &mut Self::Context) -> HealthReport {
        self.health()
    }
}

impl Handler<Flush> for Observability {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Flush, _: &mut Self::Context) -> Self::Result {
        let observability = self.clone();
        Box::pin(async move { observability.flush().await })
    }
}

impl Handler<Shutdown> for Observability {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, shutdown: Shutdown, _: &mut Self::Context) -> Self::Result {
        let observability = self.clone();
        Box::pin(async move { observability.shut_down(shutdown.deadline).await })
    }
}

impl Handler<GetOpenSpans> for Observability {
    type Result = Vec<OpenSpan>;

    fn handle(&mut self, _: GetOpenSpans, _: &mut Self::Context) -> Self::Result {
        self.open_spans()
    }
}

impl Handler<GetLogLevel> for Observability {
    type Result = MessageResult<GetLogLevel>;

    fn handle(&mut self, _: GetLogLevel, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.log_level())
    }
}

impl Handler<SetLogLevel> for Observability {
    type Result = Result<LogLevel, String>;

    fn handle(
        &mut self,
        SetLogLevel { levels, duration }: SetLogLevel,
        _: &mut Self::Context,
    ) -> Self::Result {
        self.set_log_level(&levels, duration)
    }
}
