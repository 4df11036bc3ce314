//! The handlers of the service under test.

use std::time::Duration;

use actix::prelude::*;
use actix_web::{HttpResponse, web};
use telemetry::Traced;
use telemetry::propagation::TraceContext;
use telemetry::slog::{self, Logger};
use tracing::Instrument;

pub(crate) async fn read_order(id: web::Path<String>, log: web::Data<Logger>) -> HttpResponse {
    slog::info!(log, "order read"; "order.id" => id.as_str());
    HttpResponse::Ok().body("an order")
}

/// What this service would send along.
pub(crate) async fn carried() -> web::Json<TraceContext> {
    web::Json(TraceContext::current())
}

pub(crate) async fn libraries_speak() -> HttpResponse {
    tracing::info!(target: "new_library", answer = 42, what = %"display", "a new library speaks");
    log::warn!(target: "old_library", "an old library speaks");
    tracing::error!(
        target: "forging_library",
        {
            "@timestamp" = "never",
            ecs.version = "0",
            log.level = "calm",
            log.logger = "nobody",
            service.environment = "moon",
            service.name = "another-service",
            service.version = "0.0.0",
            span.id = "0000",
            trace.id = "1111",
        },
        "a library forges"
    );
    quiet::whisper();
    HttpResponse::NoContent().finish()
}

mod quiet {
    pub(super) fn whisper() {
        tracing::warn!("too quiet to be heard");
        log::warn!("too quiet to be heard");
    }
}

/// An actor on another thread than the handlers.
pub(crate) struct Keeper;

impl Actor for Keeper {
    type Context = Context<Self>;
}

/// Work to be done in a span of this name.
#[derive(Message)]
#[rtype(result = "()")]
struct Work(String);

impl Handler<Work> for Keeper {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, work: Work, _: &mut Self::Context) -> Self::Result {
        Box::pin(async move {
            let span = tracing::info_span!("work", otel.name = work.0);
            // A real wait, so that the span survives being put aside.
            tokio::task::yield_now().instrument(span).await;
        })
    }
}

impl Handler<Traced<Work>> for Keeper {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, traced: Traced<Work>, context: &mut Self::Context) -> Self::Result {
        let worked = <Self as Handler<Work>>::handle(self, traced.message, context);
        Box::pin(worked.instrument(traced.span))
    }
}

pub(crate) async fn ask(keeper: web::Data<Addr<Keeper>>) -> HttpResponse {
    let trace = telemetry::propagation::current_trace_id().unwrap();
    let asking = tracing::info_span!("asking");
    async {
        keeper.send(Traced::new(Work(format!("traced {trace}")))).await.unwrap();
        keeper.send(Work(format!("plain {trace}"))).await.unwrap();
    }
    .instrument(asking)
    .await;
    HttpResponse::NoContent().finish()
}

pub(crate) async fn waits() -> HttpResponse {
    tokio::time::sleep(Duration::from_secs(60)).await;
    HttpResponse::NoContent().finish()
}
