//! Who is answered, and with what.

use reqwest::{Client, Method, StatusCode, header};
use serde_json::{Value, json};
use stacks::{backends::Traces as _, local::layout::Component, trace::ORDER};
use testkit::wait::eventually;

use super::{Console, part, start};

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused() {
    let system = start(&[]).await;
    let console = Console::open(&system).await;
    let about = || console.request(Method::GET, "/api/about");
    assert_eq!(about().send().await.unwrap().status(), StatusCode::OK);

    // A rebound name, a page on another port, and a page of another site, each with the cookie.
    for (name, value) in [
        (header::HOST, "evil.example:3030"),
        (header::ORIGIN, "http://localhost:3000"),
        (header::ORIGIN, "https://evil.example"),
    ] {
        let client = Client::new();
        let mut request =
            client.post(format!("{}/api/orders", console.url)).header(header::COOKIE, &console.cookie);
        if name != header::ORIGIN {
            request = request.header(header::ORIGIN, format!("http://{value}"));
        }
        let answer = request.header(name, value).json(&json!({"sort": "sample"})).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{value}");
        assert!(answer.text().await.unwrap().starts_with("refused: "));
    }
    let read = about().header("sec-fetch-site", "cross-site").send().await.unwrap();
    assert_eq!(read.status(), StatusCode::FORBIDDEN);
    let lines = system.log("order-gateway");
    assert!(!lines.iter().any(|line| line.contains("/create-order")), "an order was placed: {lines:?}");
}

#[tokio::test]
async fn nothing_is_told_without_the_cookie_and_the_page_is_strict() {
    let system = start(&[]).await;
    let url = system.url(Component::Console);
    let client = Client::new();
    for path in ["/api/about", "/api/events"] {
        let answer = client.get(format!("{url}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let wrong = client.post(format!("{url}/api/session")).header(header::ORIGIN, &url);
    let wrong = wrong.json(&json!({"token": "wrong"})).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert!(!wrong.headers().contains_key(header::SET_COOKIE));

    let page = client.get(&url).send().await.unwrap();
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let html = page.text().await.unwrap();
    assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains("<script>"), "{html}");
    for token in ["CONSOLE_TOKEN", "MAILER_TOKEN", "PAYMENT_TOKEN", "ALERTS_TOKEN"] {
        assert!(!html.contains(&system.secret(token)), "{token}");
    }
}

#[tokio::test]
async fn a_journey_has_every_part_by_order_trace_and_message_id() {
    let system = start(&[]).await;
    let console = Console::open(&system).await;
    let placed = system.place().await;
    system.email(&placed.id).await;
    system.trace(&placed.trace).await;
    let parts = eventually("the whole journey", async || {
        let parts = console.journey(&placed.id).await;
        let missing = &part(&parts, "trace")["found"]["missing"];
        if missing == &json!([]) { Ok(parts) } else { Err(format!("{missing}")) }
    })
    .await;
    assert_eq!(part(&parts, "order")["found"]["status"], "paid");
    assert_eq!(part(&parts, "lines")["found"]["missing"], json!([]));
    let spans = part(&parts, "trace")["found"]["spans"].as_array().unwrap();
    for (service, kind, name) in ORDER {
        let is_named =
            |span: &&Value| span["service"] == service && span["kind"] == kind && span["name"] == name;
        assert_eq!(spans.iter().filter(is_named).count(), 1, "{name}");
    }
    let email = &part(&parts, "email")["found"];
    assert!(email["text"].as_str().unwrap().contains(&placed.id), "{email}");
    assert_eq!(part(&parts, "letters")["state"], "nothing");

    let message = email["messageId"].as_str().unwrap();
    for id in [placed.trace.as_str(), message, &format!("<{message}>")] {
        let parts = console.journey(id).await;
        assert_eq!(part(&parts, "subject")["order"], *placed.id, "{id}");
        assert_eq!(part(&parts, "subject")["traces"], json!([placed.trace]), "{id}");
        assert_eq!(part(&parts, "email")["state"], "found", "{id}");
    }
}

#[tokio::test]
async fn what_is_unknown_is_nothing_and_no_id_is_refused() {
    let system = start(&[]).await;
    let console = Console::open(&system).await;
    let parts = console.journey("01890000-0000-7000-8000-000000000002").await;
    for name in ["order", "lines", "email"] {
        assert_eq!(part(&parts, name)["state"], "nothing", "{name}");
    }
    let answer =
        console.request(Method::POST, "/api/journey").json(&json!({"id": "\" or 1"})).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_backend_that_is_stopped_is_named_and_the_rest_is_told() {
    let mut system = start(&[]).await;
    let console = Console::open(&system).await;
    let placed = system.place().await;
    system.email(&placed.id).await;
    system.stack.stop(Component::Traces).unwrap();
    let parts = console.journey(&placed.id).await;
    let trace = part(&parts, "trace");
    assert_eq!(trace["state"], "failed");
    assert!(trace["reason"].as_str().unwrap().contains("does not accept connections"), "{trace}");
    assert_eq!(trace["query"]["text"], format!("make trace TRACE={}", placed.trace));
    assert_eq!(part(&parts, "email")["state"], "found");
}

#[tokio::test]
async fn a_component_is_stopped_and_started_by_the_console() {
    let system = start(&[]).await;
    let console = Console::open(&system).await;
    console.post("/api/components/mailer/stop", &json!({})).await;
    assert!(system.stack.process(Component::Mailer).is_none_or(|process| !process.is_alive()));
    console.post("/api/components/mailer/start", &json!({})).await;
    let placed = system.place().await;
    system.email(&placed.id).await;
    let itself = console.request(Method::POST, "/api/components/console/stop").send().await.unwrap();
    assert_eq!(itself.status(), StatusCode::UNPROCESSABLE_ENTITY);
    console.post("/api/components/mailer/stop", &json!({})).await;
}

#[tokio::test]
async fn the_questions_of_the_console_leave_no_spans() {
    let system = start(&[]).await;
    let console = Console::open(&system).await;
    let placed = system.place().await;
    system.trace(&placed.trace).await;
    console.journey(&placed.id).await;
    let line = eventually("the line about the question", async || {
        let lines = system.log("email-service");
        lines.into_iter().find(|line| line.contains("\"url.path\":\"/dead-letters\"")).ok_or("none")
    })
    .await;
    let line: Value = serde_json::from_str(&line).unwrap();
    let jaeger =
        stacks::backends::embedded::EmbeddedJaeger::new(Client::new(), system.stack.jaeger_url().unwrap());
    let trace = line["trace.id"].as_str().unwrap_or("00000000000000000000000000000001");
    // The line of the question is older than the whole trace of the order.
    assert_eq!(jaeger.trace(trace).await.unwrap(), None);
}
