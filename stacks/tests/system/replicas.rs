//! Two replicas of every service on one PostgreSQL database and one broker share the work, and do nothing twice.

use std::net::SocketAddr;

use stacks::{
    address::{self, url},
    http,
    local::layout::Component,
    secrets,
};
use testkit::{exposition::Samples, wait::eventually};

use crate::harness::{Answer, Program, System, database, serving};

/// A second replica of each service of a system.
struct Second {
    payment: SocketAddr,
    mailer: SocketAddr,
    gateway: SocketAddr,
    _programs: [Program; 3],
}

impl Second {
    async fn beside(system: &System, database: &str) -> Self {
        let [payment, mailer, gateway] = [(); 3].map(|()| address::free().unwrap());
        let mut settings = secrets::read(&system.dir().join(".env")).unwrap();
        for (key, value) in [
            ("AMQP_URL", system.vhost.amqp_url()),
            ("PAYMENT_DATABASE_URL", database.to_owned()),
            ("MAILER_DATABASE_URL", database.to_owned()),
            ("MAIL_DIR", system.stack.mail_dir().unwrap().display().to_string()),
            ("MAIL_LATENCY", "0s".to_owned()),
            ("LOG_DIR", "second".to_owned()),
            ("PAYMENT_LISTEN", payment.to_string()),
            ("MAILER_LISTEN", mailer.to_string()),
            ("GATEWAY_LISTEN", gateway.to_string()),
            ("PAYMENT_URL", url(payment)),
            ("OTEL_TRACES_EXPORTER", "none".to_owned()),
        ] {
            settings.insert(key.to_owned(), value);
        }
        let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
        let start = |name| Program::start(name, &[], system.dir(), &settings);
        let programs = ["payment", "mailer", "gateway"].map(start);
        for address in [payment, mailer, gateway] {
            serving(address).await;
        }
        Self { payment, mailer, gateway, _programs: programs }
    }
}

async fn place(gateway: &str, key: &str) -> Answer {
    let client = http::client().unwrap();
    let request = client.post(format!("{gateway}/create-order")).header("idempotency-key", key);
    Answer::of(request.send().await.unwrap()).await
}

async fn metrics(address: SocketAddr) -> Samples {
    let text = reqwest::get(url(address) + "/metrics").await.unwrap().text().await.unwrap();
    Samples::parse(&text).unwrap()
}

#[tokio::test]
async fn two_of_every_service_share_the_work_and_do_nothing_twice() {
    let database = database();
    let settings = [("PAYMENT_DATABASE_URL", database.as_str()), ("MAILER_DATABASE_URL", database.as_str())];
    let system = System::with(&settings).await;
    let second = Second::beside(&system, &database).await;
    let gateways = [system.url(Component::Gateway), url(second.gateway)];

    let mut orders = Vec::new();
    for number in 0..20 {
        let answer = place(&gateways[number % 2], &format!("key-{number}")).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        orders.push(format!("{}.eml", answer.text("orderId")));
    }
    // Either replica knows the payments of the other.
    let repeated = place(&gateways[1], "key-0").await;
    assert_eq!((repeated.status, repeated.header("idempotent-replayed")), (201, "true"), "{repeated:?}");
    assert_eq!(format!("{}.eml", repeated.text("orderId")), orders[0]);

    orders.sort();
    eventually("an e-mail for each order", async || {
        let emails = system.emails();
        if emails == orders { Ok(()) } else { Err(format!("there are {}", emails.len())) }
    })
    .await;
    let sum = async |first: Component, second: SocketAddr, series: &str| {
        system.metrics(first).await.get(series) + metrics(second).await.get(series)
    };
    for (component, second, series, total) in [
        (Component::Payment, second.payment, "payment_processed_total{outcome=\"succeeded\"}", 20.0),
        (Component::Payment, second.payment, "messaging_published_total{outcome=\"confirmed\"}", 20.0),
        (Component::Mailer, second.mailer, "messaging_received_total{outcome=\"duplicate\"}", 0.0),
    ] {
        assert_eq!(sum(component, second, series).await, total, "{series}");
    }
    eventually("every e-mail sent once", async || {
        let sent = sum(Component::Mailer, second.mailer, "emails_sent_total{outcome=\"sent\"}").await;
        if sent == 20.0 { Ok(()) } else { Err(format!("{sent} are")) }
    })
    .await;
    let share = metrics(second.payment).await.get("payment_processed_total{outcome=\"succeeded\"}");
    assert_eq!(share, 10.0, "each replica settles half");
    assert_eq!(system.published(repeated.text("orderId")).await["status"], "paid");
}
