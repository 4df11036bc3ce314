//! Messages between actors: `Traced` carries the span over a mailbox, a plain send does not.

use actix::prelude::*;
use actix_web::{HttpResponse, web};
use telemetry::Traced;
use testkit::otlp::hex;
use tracing::Instrument;

use crate::{Request, observed};

/// An actor that works for whoever asks; it lives on another thread than the handlers.
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

#[actix_rt::test]
async fn traced_carries_the_span_over_a_mailbox_and_a_plain_send_does_not() {
    let mut request = Request::new("GET", "/keeper");
    assert_eq!(request.send().await.status(), 204);
    let server = request.server_span().await;
    observed().bench.flush().await;

    let sink = &observed().sink;
    let mut asking = sink.of_trace(&request.trace);
    asking.retain(|span| span.name == "asking");
    assert_eq!(asking[0].parent_span_id, server.span_id);

    let traced = sink.named(&format!("traced {}", request.trace));
    assert_eq!(traced.len(), 1);
    assert_eq!(hex(&traced[0].trace_id), request.trace);
    assert_eq!(traced[0].parent_span_id, asking[0].span_id);

    let plain = sink.named(&format!("plain {}", request.trace));
    assert_eq!(plain.len(), 1);
    assert_ne!(hex(&plain[0].trace_id), request.trace);
    assert!(plain[0].parent_span_id.is_empty());
}
