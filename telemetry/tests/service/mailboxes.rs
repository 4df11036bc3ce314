//! Messages between actors: `Traced` carries the span over a mailbox, a plain send does not.

use testkit::otlp::hex;

use crate::observed::{Request, observed};

#[actix_rt::test]
async fn traced_carries_a_span_over_a_mailbox() {
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
