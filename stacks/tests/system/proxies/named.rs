//! The client that a proxy names, without a proxy: its header, its limit, its keys.

use stacks::{address::url, local::layout::Component};

use super::{clients::refused, gateways::gateway};
use crate::harness::{System, books};

#[tokio::test]
async fn a_client_behind_a_proxy_owns_its_limit_and_its_keys() {
    let limit = ("GATEWAY_RATE_LIMIT", "5");
    let system = System::with(&[("GATEWAY_TRUSTED_PROXIES", "127.0.0.0/8"), limit]).await;
    let behind = system.url(Component::Gateway);
    assert!(refused(&behind, |_| "198.51.100.1".to_owned()).await > 10);
    assert!(refused(&behind, |number| format!("6.6.6.{number}, 198.51.100.1")).await > 10, "spoofed");
    assert_eq!(refused(&behind, |number| format!("203.0.113.{number}")).await, 0);

    let place = async |client: &str| {
        let headers = [("x-forwarded-for", client), ("idempotency-key", "one")];
        let answer = system.place_with(&books("ada@example.com"), &headers).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer
    };
    let [first, again, other] =
        [place("192.0.2.1").await, place("192.0.2.1").await, place("192.0.2.2").await];
    assert_eq!(first.text("orderId"), again.text("orderId"));
    assert_ne!(first.text("orderId"), other.text("orderId"));
    let trace = system.trace(other.text("traceId")).await;
    let server = trace.spans.iter().find(|span| span.name == "POST /create-order").unwrap();
    assert_eq!(server.attributes["client.address"], "192.0.2.2");

    let (open, _gateway) = gateway(&system, &[limit]).await;
    let spoofed = refused(&url(open), |number| format!("203.0.113.{number}")).await;
    assert!(spoofed > 10, "a peer that is no proxy names its client: {spoofed} of 20 refused");
}
