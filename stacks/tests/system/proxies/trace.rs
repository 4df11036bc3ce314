//! The spans of a proxy in the trace of an order.

use serde_json::Value;
use stacks::{address::url, trace::ORDER};

use super::{
    clients::client_at,
    proxy::{Kind, Proxy},
};
use crate::harness::{Answer, SETTLE, System};

const CLIENT_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN: &str = "b7ad6b7169203331";

#[tokio::test]
async fn spans_of_envoy_join_the_trace_of_an_order() {
    join_the_trace(
        Kind::Envoy,
        ("envoy", "server", "ingress"),
        ("envoy", "client", "router gateways egress"),
    )
    .await;
}

#[tokio::test]
async fn spans_of_traefik_join_the_trace_of_an_order() {
    let [entry, call] = [("traefik", "server", "POST"), ("traefik", "client", "ReverseProxy")];
    join_the_trace(Kind::Traefik, entry, call).await;
}

/// The spans of the proxy: the request of the client, and the call to the gateway.
async fn join_the_trace(kind: Kind, entry: (&str, &str, &str), call: (&str, &str, &str)) {
    let system = System::with(&[("GATEWAY_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let proxy = Proxy::before(&system, kind, &[system.stack.layout().gateway]).await;
    let client = client_at([127, 0, 0, 2].into());
    let request = client.post(url(proxy.address) + "/create-order");
    let request = request.header("traceparent", format!("00-{CLIENT_TRACE}-{CLIENT_SPAN}-01"));
    let answer = Answer::of(request.send().await.unwrap()).await;
    assert_eq!((answer.status, answer.text("traceId")), (201, CLIENT_TRACE), "{answer:?}");

    let whole: Vec<_> = ORDER.into_iter().chain([SETTLE, entry, call]).collect();
    let trace = system.trace_with(CLIENT_TRACE, &whole).await;
    let [entry, call, gateway] = [entry, call, ORDER[0]].map(|name| trace.find(name).unwrap());
    assert_eq!(entry.parent.as_deref(), Some(CLIENT_SPAN));
    assert!(trace.descends(call, entry), "{trace:#?}");
    assert_eq!(gateway.parent.as_ref(), Some(&call.id));
    assert_eq!(gateway.attributes["client.address"], Value::from("127.0.0.2"));
}
