//! The simulation routes: they need a token, refuse bad values, and lose their state in a restart.

use reqwest::Method;
use serde_json::{Value, json};
use stacks::local::layout::Component::{self, Mailer, Payment};
use testkit::wait::eventually;

use crate::harness::{Answer, System, ask, request};

const PATH: &str = "/simulation";
const VALIDATION: &str = "/problems/validation";
const MALFORMED: &str = "/problems/malformed-json";

fn token(system: &System, service: Component) -> String {
    if service == Payment { system.payment_token() } else { system.mailer_token() }
}

async fn send(system: &System, service: Component, method: Method, body: Option<&Value>) -> Answer {
    let url = system.url(service) + PATH;
    let mut request = reqwest::Client::new().request(method, url).bearer_auth(token(system, service));
    if let Some(body) = body {
        request = request.json(body);
    }
    Answer::of(request.send().await.unwrap()).await
}

async fn simulate(system: &System, service: Component, simulation: &Value) -> Value {
    let answer = send(system, service, Method::PUT, Some(simulation)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(send(system, service, Method::GET, None).await.body, answer.body);
    answer.body
}

#[tokio::test]
async fn a_simulation_happens_and_omitted_fields_are_as_configured() {
    let mut system = System::with(&[("PAYMENT_LATENCY", "1ms")]).await;
    let usual = json!({"latency": "1ms", "declineRate": 0.0, "failureRate": 0.0});
    assert_eq!(send(&system, Payment, Method::GET, None).await.body, usual);

    let failing = simulate(&system, Payment, &json!({"failureRate": 1})).await;
    assert_eq!(failing, json!({"latency": "1ms", "declineRate": 0.0, "failureRate": 1.0}));
    let refused = system.post(&[], None).await;
    refused.assert_problem(503, "/problems/unavailable", "a payment that fails");
    let declining = json!({"latency": "1s 500ms", "declineRate": 1.0, "failureRate": 0.0});
    assert_eq!(simulate(&system, Payment, &json!({"latency": "1500ms", "declineRate": 1})).await, declining);
    assert_eq!(simulate(&system, Payment, &json!({"declineRate": 1})).await["latency"], "1ms");
    assert_eq!(system.post(&[], None).await.status, 402);
    assert_eq!(simulate(&system, Payment, &json!({})).await, usual);

    // A declined order has an e-mail, too.
    system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 1.0).await;
    let before = system.emails();
    let paused = simulate(&system, Mailer, &json!({"paused": true})).await;
    assert_eq!(paused, json!({"latency": "0s", "paused": true, "failureRate": 0.0}));
    let placed = system.place().await;
    system.reaches(Mailer, "inbox_queued", 1.0).await;
    assert_eq!(system.emails(), before);
    let line = eventually("the log line about the simulation", async || {
        let lines = system.log("email-service");
        lines.into_iter().find(|line| line.contains("simulation changed"))
    })
    .await;
    assert!(line.contains("\"simulation.paused\":true") && line.contains("\"trace.id\":"), "{line}");

    system.kill(Mailer);
    system.restart(Mailer).await;
    system.email(&placed.id).await;
}

#[tokio::test]
async fn an_invalid_simulation_is_refused_and_changes_nothing() {
    let system = System::start().await;
    for service in [Payment, Mailer] {
        let address = system.stack.layout().listens(service)[0].0;
        let before = send(&system, service, Method::GET, None).await.body;
        for line in [format!("GET {PATH}"), format!("PUT {PATH}")] {
            let wrong = format!("authorization: Bearer {}\r\n", "0".repeat(64));
            for (name, headers) in [("no token", ""), ("a wrong token", wrong.as_str())] {
                let answer = ask(address, &request(&line, headers, b"{}")).await;
                answer.assert_problem(401, "/problems/unauthorized", &format!("{name}: {line}"));
            }
        }
        let good = format!("authorization: Bearer {}\r\n", token(&system, service));
        let json = format!("{good}content-type: application/json\r\n");
        let own = if service == Payment { "declineRate" } else { "paused" };
        for (name, headers, body, status, kind, pointers) in [
            ("no body", &json, "", 400, MALFORMED, &[][..]),
            ("no JSON", &json, "{", 400, MALFORMED, &[]),
            ("an array", &json, "[]", 422, VALIDATION, &[""]),
            ("an unknown field", &json, r#"{"speed": 1}"#, 422, VALIDATION, &[""]),
            ("a field twice", &json, r#"{"latency": "1s", "latency": "2s"}"#, 422, VALIDATION, &[""]),
            ("a field of another type", &json, &format!(r#"{{"{own}": "x"}}"#), 422, VALIDATION, &[""]),
            ("a latency without unit", &json, r#"{"latency": "5"}"#, 422, VALIDATION, &["/latency"]),
            ("a latency without end", &json, r#"{"latency": "1h"}"#, 422, VALIDATION, &["/latency"]),
            (
                "two bad fields",
                &json,
                r#"{"latency": "soon", "failureRate": 1.5}"#,
                422,
                VALIDATION,
                &["/latency", "/failureRate"],
            ),
            ("no content type", &good, "{}", 415, "/problems/unsupported-media-type", &[]),
        ] {
            let answer = ask(address, &request(&format!("PUT {PATH}"), headers, body.as_bytes())).await;
            answer.assert_problem(status, kind, &format!("{service}: {name}"));
            assert_eq!(answer.pointers(), pointers, "{service}: {name}: {answer:?}");
        }
        let answer = ask(address, &request(&format!("POST {PATH}"), &json, b"{}")).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD, PUT"), "{answer:?}");
        assert_eq!(send(&system, service, Method::GET, None).await.body, before);
    }
}
