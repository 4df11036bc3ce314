//! What an operator asks a service that runs: open spans and log levels, with the service's token.

use reqwest::Method;
use serde_json::{Value, json};
use stacks::local::layout::Component::{self, Gateway, Mailer, Payment};
use testkit::wait::eventually;

use crate::harness::{Answer, System, books};

const SERVICES: [(Component, &str); 3] =
    [(Gateway, "ALERTS_TOKEN"), (Payment, "PAYMENT_TOKEN"), (Mailer, "MAILER_TOKEN")];

async fn ask(system: &System, service: Component, path: &str, token: &str) -> Answer {
    let request = reqwest::Client::new().request(Method::GET, system.url(service) + path);
    Answer::of(request.bearer_auth(token).send().await.unwrap()).await
}

#[tokio::test]
async fn operators_need_the_token_of_the_service() {
    let system = System::start().await;
    for (service, token) in SERVICES {
        for path in ["/log-level", "/debug/spans"] {
            assert_eq!(ask(&system, service, path, "another token").await.status, 401, "{path}");
            assert_eq!(ask(&system, service, path, &system.secret(token)).await.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn open_spans_show_an_order_that_hangs() {
    let system = System::with(&[("PAYMENT_LATENCY", "4s")]).await;
    let open = async |service, token, name: &str| {
        let page = ask(&system, service, "/debug/spans", &system.secret(token)).await.body;
        let spans = page["spans"].as_array().unwrap().clone();
        spans.into_iter().find(|span| span["name"] == name && span["traceId"].is_string())
    };
    let hangs = async {
        let payment = eventually("an open span of payment", async || {
            open(Payment, "PAYMENT_TOKEN", "settle payment").await
        })
        .await;
        let gateway = eventually("an open span of the gateway", async || {
            open(Gateway, "ALERTS_TOKEN", "POST /create-order").await
        })
        .await;
        (payment, gateway)
    };
    let order = books("ada@example.com");
    let (answer, (payment, gateway)) = tokio::join!(system.place_with(&order, &[]), hangs);
    assert_eq!(answer.status, 201);
    assert_eq!(
        (&payment["traceId"], &gateway["traceId"]),
        (&answer.body["traceId"], &answer.body["traceId"])
    );
    assert_eq!(payment["ids"]["order.id"], answer.body["orderId"]);
    assert!(payment["ageSeconds"].as_f64().unwrap() >= 1.0);
    eventually("no open span", async || {
        let page: Value = ask(&system, Payment, "/debug/spans", &system.secret("PAYMENT_TOKEN")).await.body;
        let named = page["spans"].as_array().unwrap().iter().any(|span| span["name"] == "settle payment");
        (!named).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_queue_declared_by_hand_is_named_until_it_is_deleted() {
    let system = System::start().await;
    system.vhost.remove().await;
    for service in [Payment, Mailer] {
        system.reaches(service, "broker_connected", 0.0).await;
    }
    system.vhost.restore_with("mailer.payments", json!({"durable": true})).await;
    for (service, status) in [(Payment, 200), (Mailer, 503)] {
        eventually(&format!("the queue in /readyz of {service}"), async || {
            let ready = system.get(service, "/readyz").await;
            let check = ready.body["checks"]["broker"].as_str().unwrap_or_default().to_owned();
            let is_named = check.contains("cannot declare the queue mailer.payments")
                && check.contains("rabbitmqctl delete_queue")
                && check.contains("inequivalent arg");
            if is_named && ready.status == status { Ok(()) } else { Err(format!("{ready:?}")) }
        })
        .await;
    }
    let order = system.place().await;

    system.vhost.delete_queue("mailer.payments").await;
    // Without a restart.
    system.email(&order.id).await;
    for service in [Payment, Mailer] {
        assert_eq!(system.get(service, "/readyz").await.body["checks"]["broker"], "ok", "{service}");
    }
}
