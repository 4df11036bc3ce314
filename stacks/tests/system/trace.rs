//! One order is one trace: its spans, their parents and their attributes.

use std::collections::BTreeSet;

use stacks::{
    http::plain,
    trace::{ORDER, Span, Trace},
};

use crate::harness::{Answer, Placed, SETTLE, System, books};

const CLIENT: &str = "00f067aa0ba902b7";

/// The spans of an order from the gateway to the mail server; each is the parent of the next.
fn path(trace: &Trace) -> [&Span; 7] {
    let [gateway, call, payment, publish, process, email] = ORDER;
    [gateway, call, payment, SETTLE, publish, process, email].map(|named| trace.find(named).unwrap())
}

/// Checks that the attributes of a span include these.
fn assert_attributes(span: &Span, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        let found = span.attributes.get(*key).map(plain);
        assert_eq!(found.as_deref(), Some(*value), "{key} of `{}`: {:?}", span.name, span.attributes);
    }
}

#[tokio::test]
async fn an_order_is_one_trace() {
    let system = System::start().await;
    let order = Placed::from(&system.place_with(&books("ada@example.org"), &[]).await);
    let trace = system.trace(&order.trace).await;
    assert_eq!(trace.id, order.trace);
    assert_eq!(trace.spans.len(), 7, "{:#?}", trace.spans);

    let path = path(&trace);
    assert_eq!(path[0].parent, None);
    for pair in path.windows(2) {
        assert_eq!(pair[1].parent.as_deref(), Some(pair[0].id.as_str()), "the parent of `{}`", pair[1].name);
        assert!(pair[1].start >= pair[0].start, "`{}` starts before its parent", pair[1].name);
    }
    assert!(trace.spans.iter().all(|span| span.error.is_none()), "{:#?}", trace.spans);
    let ids: BTreeSet<&str> = trace.spans.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(ids.len(), 7);

    let [.., publish, process, _] = path;
    assert_eq!(process.links, std::slice::from_ref(&publish.id), "the consumer is linked to the producer");
}

#[tokio::test]
async fn only_orders_of_synthetic_clients_are_marked() {
    let system = System::start().await;
    let key = "user_agent.synthetic.type";
    for (agent, expected) in [("omnitrace-prove/0.1.0 (synthetic)", Some("test")), ("curl/8.0", None)] {
        let order = Placed::from(&system.post(&[("user-agent", agent)], None).await);
        let trace = system.trace(&order.trace).await;
        let kind = trace.find(ORDER[0]).unwrap().attributes.get(key).map(plain);
        assert_eq!(kind.as_deref(), expected, "{agent}");
        let lines = system.log("order-gateway").into_iter().filter(|line| line.contains(&order.trace));
        let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
        let placed = lines.into_iter().find(|line| line["message"] == "order placed").unwrap();
        assert_eq!(placed[key].as_str(), expected, "{agent}: {placed}");
    }
}

#[tokio::test]
async fn http_spans_follow_the_semantic_conventions() {
    let system = System::start().await;
    let order = system.place().await;
    let trace = system.trace(&order.trace).await;
    let [gateway, call, payment, settle, ..] = path(&trace);
    let layout = system.stack.layout();
    let (gateway_port, payment_port) = (layout.gateway.port().to_string(), layout.payment.port().to_string());
    assert_attributes(
        gateway,
        &[
            ("http.request.method", "POST"),
            ("http.route", "/create-order"),
            ("http.response.status_code", "201"),
            ("url.path", "/create-order"),
            ("url.scheme", "http"),
            ("server.address", "127.0.0.1"),
            ("server.port", &gateway_port),
            ("client.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("order.id", &order.id),
        ],
    );
    assert_attributes(
        call,
        &[
            ("http.request.method", "POST"),
            ("http.response.status_code", "200"),
            ("url.full", &format!("{}/process-payment", system.stack.payment_url())),
            ("url.template", "/process-payment"),
            ("server.address", "127.0.0.1"),
            ("server.port", &payment_port),
        ],
    );
    assert_attributes(
        payment,
        &[
            ("http.request.method", "POST"),
            ("http.route", "/process-payment"),
            ("http.response.status_code", "200"),
            ("url.path", "/process-payment"),
            ("server.address", "127.0.0.1"),
            ("server.port", &payment_port),
        ],
    );
    assert_attributes(settle, &[("order.id", &order.id), ("payment.outcome", "succeeded")]);
}

#[tokio::test]
async fn messaging_spans_follow_the_semantic_conventions() {
    let system = System::start().await;
    let order = system.place().await;
    let trace = system.trace(&order.trace).await;
    let [.., publish, process, email] = path(&trace);
    let message = plain(&publish.attributes["messaging.message.id"]);
    assert_eq!(message.len(), 36, "{message} is no UUID");
    let shared = [
        ("messaging.system", "rabbitmq"),
        ("messaging.rabbitmq.destination.routing_key", "payment.succeeded"),
        ("messaging.message.id", message.as_str()),
        ("order.id", order.id.as_str()),
    ];
    assert_attributes(publish, &shared);
    assert_attributes(
        publish,
        &[
            ("messaging.operation.name", "publish"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "checkout:payment.succeeded"),
        ],
    );
    assert_attributes(process, &shared);
    assert_attributes(
        process,
        &[
            ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "checkout:payment.succeeded:mailer.payments"),
        ],
    );
    assert_attributes(
        email,
        &[
            ("email.transport", "file"),
            ("email.attempt", "1"),
            ("messaging.message.id", message.as_str()),
            ("order.id", order.id.as_str()),
        ],
    );
}

#[tokio::test]
async fn no_span_carries_personal_data() {
    let system = System::start().await;
    let order = Placed::from(&system.place_with(&books("ada.secret@example.org"), &[]).await);
    let trace = system.trace(&order.trace).await;
    let all = format!("{:?}", trace.spans);
    for secret in ["ada.secret", "example.org", system.payment_token().as_str()] {
        assert!(!all.contains(secret), "{secret} is in {all}");
    }
}

#[tokio::test]
async fn the_trace_of_a_client_is_continued() {
    let system = System::start().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let answer = system.post(&[("traceparent", &format!("00-{trace}-{CLIENT}-01"))], None).await;
    assert_eq!((answer.status, answer.text("traceId"), answer.trace()), (201, trace, trace));
    let trace = system.trace(trace).await;
    assert_eq!(path(&trace)[0].parent.as_deref(), Some(CLIENT));
}

#[tokio::test]
async fn a_malformed_traceparent_starts_a_new_trace_and_fails_nothing() {
    let system = System::with(&[("PAYMENT_LATENCY", "0ms")]).await;
    let given = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut answers: Vec<(String, Answer)> = Vec::new();
    for bad in [
        "".to_owned(),
        "00".to_owned(),
        format!("ff-{given}-{CLIENT}-01"),
        format!("00-{}-{CLIENT}-01", "0".repeat(32)),
        format!("00-{given}-{}-01", "0".repeat(16)),
        format!("00-{given}-{CLIENT}"),
        format!("00-{given}-{CLIENT}-01-extra"),
        format!("00-{}-{CLIENT}-01", given.replace('4', "x")),
        "a".repeat(5000),
    ] {
        let answer = system.post(&[("traceparent", &bad)], None).await;
        answers.push((bad, answer));
    }
    let twice = format!("00-{given}-{CLIENT}-01");
    let answer = system.post(&[("traceparent", &twice), ("traceparent", &twice)], None).await;
    answers.push((format!("{twice} twice"), answer));

    let mut traces = BTreeSet::new();
    for (bad, answer) in &answers {
        assert_eq!(answer.status, 201, "{bad}: {answer:?}");
        assert_eq!(answer.trace(), answer.text("traceId"), "{bad}");
        assert_ne!(answer.trace(), given, "{bad}");
        let trace = system.trace_with(answer.trace(), &ORDER[..1]).await;
        assert_eq!(trace.find(ORDER[0]).unwrap().parent, None, "{bad}");
        traces.insert(answer.trace());
    }
    assert_eq!(traces.len(), answers.len(), "two orders share a trace");
}

#[tokio::test]
async fn only_allowed_baggage_and_trace_state_reach_the_broker() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-{CLIENT}-01");
    let long = vec!["a=1"; 33].join(",");
    for (allowed, tracestate, expected) in [
        ("none", "vendor=1", (Some("vendor=1"), None)),
        ("plan,tenant", long.as_str(), (None, Some("tenant=acme"))),
    ] {
        let system = System::with(&[("BAGGAGE_ALLOWED", allowed)]).await;
        system.vhost.copy_to("copies").await;
        let sent =
            [("traceparent", &*parent), ("tracestate", tracestate), ("baggage", "user=ada,tenant=acme")];
        let answer = system.post(&sent, None).await;
        assert_eq!((answer.status, answer.trace()), (201, trace), "{answer:?}");
        let headers = system.vhost.headers("copies").await;
        assert!(headers["traceparent"].as_str().unwrap().contains(trace), "{headers}");
        assert_eq!((headers["tracestate"].as_str(), headers["baggage"].as_str()), expected, "{allowed}");
    }
}

#[tokio::test]
async fn the_setting_link_starts_a_trace_linked_to_the_client() {
    let system = System::with(&[("GATEWAY_TRACE_CONTEXT", "link")]).await;
    system.vhost.copy_to("copies").await;
    let client_trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    // The client's trace is not sampled; the gateway samples its own.
    let sent = [("traceparent", &*format!("00-{client_trace}-{CLIENT}-00")), ("tracestate", "vendor=1")];
    let answer = system.post(&sent, None).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_ne!(answer.trace(), client_trace);
    let trace = system.trace(answer.trace()).await;
    let gateway = path(&trace)[0];
    assert_eq!((gateway.parent.as_deref(), &gateway.links[..]), (None, &[CLIENT.to_owned()][..]));
    let headers = system.vhost.headers("copies").await;
    assert_eq!(headers["tracestate"].as_str(), None, "{headers}");
}
