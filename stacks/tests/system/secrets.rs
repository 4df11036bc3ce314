//! Secrets and personal data are in no signal, no answer and no error message. Every address and secret contains a
//! marker; good and failing requests use them all, and the marker may appear in the e-mails alone.

use std::fs;

use serde_json::json;
use stacks::{
    local::layout::Component::{Gateway, Mailer, Payment},
    process::Signal,
};
use testkit::{
    otlp::OtlpSink,
    rabbitmq::VirtualHost,
    smtp::{Behavior, SmtpServer},
    wait::eventually,
};
use uuid::Uuid;

use crate::harness::{Answer, Program, System, ask, books, request};

/// The marker in every address of a customer, and in every secret that is not random.
const CANARY: &str = "canary";
const TOKEN: &str = "canary-82f5b1d60e3c97a4";
const SMTP_REFUSALS: [Behavior; 3] = [
    Behavior::Refuse("451 4.7.1 <canary-good@example.org>: come back later"),
    Behavior::Refuse("550-5.1.1 canary-good@example.org\r\n550 5.1.1 \"canary-good\"@example.org is unknown"),
    Behavior::Refuse("550 5.7.1 RCPT TO:<canary-good@example.org> refused"),
];

/// Answers and files, each with a name, and the texts that none of them may contain.
struct Artifacts {
    needles: Vec<String>,
    found: Vec<(String, String)>,
}

impl Artifacts {
    /// No artifacts yet; none may contain the marker or one of these secrets.
    fn new(secrets: &[&str]) -> Self {
        let needles = secrets.iter().chain(&[CANARY]).map(|needle| (*needle).to_owned()).collect();
        Self { needles, found: Vec::new() }
    }

    fn add(&mut self, name: &str, text: impl Into<String>) {
        self.found.push((name.to_owned(), text.into()));
    }

    fn answer(&mut self, name: &str, status: u16, answer: &Answer) {
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        self.add(name, format!("{answer:?}"));
    }

    fn assert_clean(&self) {
        for (name, text) in &self.found {
            for needle in &self.needles {
                let at = text.find(needle.as_str());
                let around = at.map(|at| &text[text.floor_char_boundary(at.saturating_sub(200))..]);
                assert_eq!(around, None, "`{needle}` is in {name}");
            }
        }
    }
}

#[tokio::test]
async fn no_secret_or_address_is_in_any_signal_or_answer() {
    let (sink, server) = (OtlpSink::start(), SmtpServer::start().await.unwrap());
    server.script(&SMTP_REFUSALS);
    let system = System::with(&[
        ("SMTP_URL", &format!("smtp://canary-user:canary-password@{}", server.address())),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.url()),
        ("LOG_LEVEL", "debug"),
    ])
    .await;
    let mut artifacts =
        Artifacts::new(&[system.vhost.password(), &system.payment_token(), &system.mailer_token()]);

    orders(&system, &mut artifacts).await;
    tokens(&system, &mut artifacts).await;
    outage(&system, &mut artifacts).await;
    dead_letters(&system, &mut artifacts).await;

    // The e-mail contains an address, which shows that the marker went through the whole system.
    assert!(server.accepted().iter().any(|email| email.to == ["canary-good@example.org"]));
    for (service, name) in [(Gateway, "gateway"), (Payment, "payment"), (Mailer, "mailer")] {
        artifacts.add(&format!("the metrics of {name}"), system.metrics_text(service).await);
    }
    let spans = eventually("the span of a replay", async || {
        let spans = sink.text();
        if spans.contains("/dead-letters/replay") { Ok(spans) } else { Err("it is missing".to_owned()) }
    })
    .await;
    for name in
        ["POST /create-order", "settle payment", "publish checkout:", "process checkout:", "send email"]
    {
        assert!(spans.contains(name), "no span `{name}`");
    }
    artifacts.add("the spans", spans);
    for file in fs::read_dir(system.stack.log_dir()).unwrap() {
        let path = file.unwrap().path();
        // The spool beside the log holds bytes that are no text.
        let bytes = fs::read(&path).unwrap();
        artifacts.add(&path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned());
    }
    assert!(artifacts.found.len() > 20);
    artifacts.assert_clean();
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// Places good, bad, declined and repeated orders.
async fn orders(system: &System, artifacts: &mut Artifacts) {
    let good = books("canary-good@example.org");
    let mut expensive = good.clone();
    expensive["items"][0]["unitPrice"] = "6000.00".into();
    let headers = [
        ("idempotency-key", "canary-key"),
        ("authorization", "Bearer canary-authorization"),
        ("cookie", "session=canary-cookie"),
    ];
    for (name, order, status) in
        [("an order", &good, 201), ("the order again", &good, 201), ("another order", &expensive, 422)]
    {
        artifacts.answer(name, status, &system.place_with(order, &headers).await);
    }
    let key = [("idempotency-key", "canary-key-of-another-order")];
    artifacts.answer("a declined order", 402, &system.place_with(&expensive, &key).await);
    artifacts.answer(
        "an invalid key",
        400,
        &system.place_with(&good, &[("idempotency-key", "canary key")]).await,
    );
    for pointer in
        ["/customer/email", "/items/0/sku", "/items/0/unitPrice", "/items/0/quantity", "/currency", "/items"]
    {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = "canary <canary@example.org>".into();
        artifacts.answer(pointer, 422, &system.place_with(&bad, &[]).await);
    }
    let mut cut = good.to_string();
    cut.pop();
    let json = "content-type: application/json\r\n";
    let answer =
        ask(system.stack.layout().gateway, &request("POST /create-order", json, cut.as_bytes())).await;
    artifacts.answer("an order that breaks off", 400, &answer);
}

/// Calls payment and the mailer with wrong tokens, and payment with a good token and bad bodies.
async fn tokens(system: &System, artifacts: &mut Artifacts) {
    let layout = system.stack.layout();
    let (token, other) = (system.payment_token(), system.mailer_token());
    for wrong in ["canary-wrong", &token[1..], &other] {
        let answer = ask(layout.payment, &request("POST /process-payment", &bearer(wrong), b"")).await;
        artifacts.answer("payment with a wrong token", 401, &answer);
    }
    let answer = ask(layout.mailer, &request("GET /dead-letters", &bearer(&token), b"")).await;
    artifacts.answer("the mailer with a wrong token", 401, &answer);
    let headers = bearer(&token);
    let headers = format!("{headers}content-type: application/json\r\nidempotency-key: canary-key\r\n");
    let payment = json!({
        "orderId": Uuid::new_v4(),
        "customer": {"email": "canary-good@example.org"},
        "items": [{"sku": "BOOK-1", "quantity": 1, "unitPrice": "49.99"}],
        "amount": "49.99",
        "currency": "USD",
    });
    for pointer in
        ["/orderId", "/customer", "/customer/email", "/items", "/items/0/quantity", "/amount", "/currency"]
    {
        let mut bad = payment.clone();
        *bad.pointer_mut(pointer).unwrap() = "canary <canary@example.org>".into();
        let request = request("POST /process-payment", &headers, bad.to_string().as_bytes());
        artifacts.answer(pointer, 422, &ask(layout.payment, &request).await);
    }
}

/// Removes the broker, and restores it.
async fn outage(system: &System, artifacts: &mut Artifacts) {
    system.vhost.remove().await;
    system.reaches(Payment, "broker_connected", 0.0).await;
    system.reaches(Mailer, "broker_connected", 0.0).await;
    artifacts.answer(
        "an order without a broker",
        201,
        &system.place_with(&books("canary-late@example.org"), &[]).await,
    );
    for service in [Payment, Mailer] {
        artifacts.add("readiness without a broker", format!("{:?}", system.get(service, "/readyz").await));
    }
    let list = request("GET /dead-letters", &bearer(&system.mailer_token()), b"");
    let answer = ask(system.stack.layout().mailer, &list).await;
    artifacts.answer("dead letters without a broker", 503, &answer);
    system.vhost.restore().await;
    system.reaches(Payment, "outbox_pending", 0.0).await;
}

/// Lists and replays e-mails that the mail server refused and messages that cannot be read.
async fn dead_letters(system: &System, artifacts: &mut Artifacts) {
    for message in [
        "{\"to\":\"canary-parked@example.org\"}",
        "canary-parked@example.org",
        "{\"data\":{\"customer\":\"canary-parked@example.org\"}}",
    ] {
        system.vhost.publish("payment.succeeded", "", (message, "string")).await;
    }
    // Two permanent refusals and three unreadable messages.
    let letters = eventually("five dead letters", async || {
        let letters = system.dead_letters().await;
        if letters.len() == 5 { Ok(letters) } else { Err(format!("there are {letters:?}")) }
    })
    .await;
    artifacts.add("the dead letters", json!(letters).to_string());
    for event in letters.iter().filter_map(|letter| letter["eventId"].as_str()) {
        let find = format!("GET /dead-letters/{event}");
        let find = request(&find, &bearer(&system.mailer_token()), b"");
        artifacts.answer("one dead letter", 200, &ask(system.stack.layout().mailer, &find).await);
    }
    let replay = request("POST /dead-letters/replay", &bearer(&system.mailer_token()), b"");
    artifacts.answer("a replay", 200, &ask(system.stack.layout().mailer, &replay).await);
    system.reaches(Mailer, "inbox_queued", 0.0).await;
    system.reaches(Mailer, "messaging_received_total{outcome=\"parked\"}", 6.0).await;
}

const SERVICES: [&str; 3] = ["gateway", "payment", "mailer"];

fn settings<'a>(amqp: &'a str, with: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut settings = vec![
        ("GATEWAY_LISTEN", "127.0.0.1:0"),
        ("PAYMENT_LISTEN", "127.0.0.1:0"),
        ("MAILER_LISTEN", "127.0.0.1:0"),
        ("PAYMENT_TOKEN", TOKEN),
        ("MAILER_TOKEN", TOKEN),
        ("AMQP_URL", amqp),
        ("SMTP_URL", "smtp://canary-user:canary-password@127.0.0.1:1"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ];
    settings.retain(|(key, _)| with.iter().all(|(other, _)| other != key));
    settings.extend(with);
    settings
}

#[tokio::test]
async fn no_secret_is_in_the_output_of_a_failed_start() {
    const AMQP: &str = "amqp://canary-user:canary-password@127.0.0.1:1/%2f";
    let mut artifacts = Artifacts::new(&[]);
    for (services, arguments, variable, value) in [
        (&SERVICES[..], &["--help"][..], "LOG_LEVEL", "info"),
        (&SERVICES, &["--no-such-flag"], "LOG_LEVEL", "info"),
        (&SERVICES, &["--shutdown-deadline=never"], "LOG_LEVEL", "info"),
        (&SERVICES, &[], "LOG_LEVEL", "loud"),
        (&["payment"], &[], "PAYMENT_TOKEN", CANARY),
        (&["mailer"], &[], "MAILER_TOKEN", CANARY),
        (&["gateway"], &[], "ALERTS_TOKEN", CANARY),
        (&["payment", "mailer"], &[], "AMQP_URL", "canary:canary@localhost"),
        (&["payment", "mailer"], &[], "AMQP_URL", "amqp://canary:canary@localhost:canary/%2f"),
        (&["mailer"], &[], "SMTP_URL", "canary:canary@localhost"),
        (&["mailer"], &[], "SMTP_URL", "smtp://canary:canary@localhost:canary"),
        (&["mailer"], &[], "SMTP_URL", "smtp://canary:canary@localhost?tls=canary"),
        (&["payment"], &[], "PAYMENT_DATABASE_URL", "mysql://canary:canary@localhost/canary"),
        (&["payment"], &["--help"], "PAYMENT_DATABASE_URL", "postgres://canary:canary@localhost/canary"),
        (&["mailer"], &[], "MAILER_DATABASE_URL", "mysql://canary:canary@localhost/canary"),
        (&["mailer"], &["--help"], "MAILER_DATABASE_URL", "postgres://canary:canary@localhost/canary"),
    ] {
        for service in services {
            let dir = tempfile::tempdir().unwrap();
            let settings = settings(AMQP, &[(variable, value)]);
            let ended = Program::start(service, arguments, dir.path(), &settings).ended().await;
            let name = format!("{service} {arguments:?} with {variable}={value}");
            assert_eq!(ended.code, Some(if arguments == ["--help"] { 0 } else { 2 }), "{name}: {ended:?}");
            artifacts.add(&name, ended.stdout + &ended.stderr);
        }
    }
    artifacts.assert_clean();
}

#[tokio::test]
async fn a_password_that_the_broker_refuses_is_not_printed() {
    let vhost = VirtualHost::create().await;
    let amqp = vhost.amqp_url().replace(vhost.password(), "canary-password");
    let mut artifacts = Artifacts::new(&[vhost.password()]);
    for (service, log) in [("payment", "payment-service.log"), ("mailer", "email-service.log")] {
        let dir = tempfile::tempdir().unwrap();
        let program = Program::start(service, &[], dir.path(), &settings(&amqp, &[("LOG_LEVEL", "debug")]));
        let path = dir.path().join("logs").join(log);
        eventually(&format!("a refusal of {service} in {}", path.display()), async || {
            let log = fs::read_to_string(&path).map_err(|error| error.to_string())?;
            if log.contains("ACCESS_REFUSED") { Ok(()) } else { Err(log) }
        })
        .await;
        program.signal(Signal::TERM);
        let ended = program.ended().await;
        artifacts.add(service, ended.stdout + &ended.stderr);
    }
    artifacts.assert_clean();
}
