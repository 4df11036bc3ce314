//! The shipped routes, in a real Alertmanager: who is told what, and what is held back.

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, http::HeaderMap, routing::post};
use reqwest::Client;
use serde_json::{Value, json};
use stacks::{address, http};
use tempfile::TempDir;
use testkit::{smtp::SmtpServer, wait::eventually};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
};

const SHIPPED: &str = include_str!("../../alertmanager/alertmanager.yaml");

const TOKEN: &str = "the-token-of-the-alert-log";

/// What stands in for the gateway's alert log: keeps each notice whose token is right.
type Notices = Arc<Mutex<Vec<Value>>>;

struct Alertmanager {
    url: String,
    client: Client,
    notices: Notices,
    mail: SmtpServer,
    _process: Child,
    _dir: TempDir,
}

impl Alertmanager {
    /// With the shipped configuration, but for addresses, the place of the token, and shorter waits.
    async fn start() -> Self {
        let (notices, mail) = (Notices::default(), SmtpServer::start().await.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let log = listener.local_addr().unwrap();
        let kept = notices.clone();
        let keep = async move |headers: HeaderMap, axum::Json(notice): axum::Json<Value>| {
            if headers["authorization"] == format!("Bearer {TOKEN}").as_str() {
                kept.lock().unwrap().push(notice);
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/alerts", post(keep))).await });

        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        fs::write(&token, format!("{TOKEN}\n")).unwrap();
        let mut config = SHIPPED.to_owned();
        for (shipped, here) in [
            ("mailpit:1025", mail.address().to_string()),
            ("gateway:3000", log.to_string()),
            ("/run/secrets/alerts_token", token.display().to_string()),
            ("group_wait: 15s", "group_wait: 1s".into()),
            ("group_wait: 5s", "group_wait: 1s".into()),
            ("group_interval: 30s", "group_interval: 1s".into()),
            ("group_interval: 1m", "group_interval: 1s".into()),
        ] {
            assert!(config.contains(shipped), "{shipped} is not in the shipped configuration");
            config = config.replace(shipped, &here);
        }
        let file = dir.path().join("alertmanager.yaml");
        fs::write(&file, config).unwrap();
        let address = address::free().unwrap();
        let start = |program: &str| {
            Command::new(program)
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.path={}", dir.path().join("data").display()))
                .arg(format!("--web.listen-address={address}"))
                .args(["--cluster.listen-address=", "--log.level=error"])
                .kill_on_drop(true)
                .spawn()
        };
        // Debian calls it by another name than its makers.
        let process = start("prometheus-alertmanager").or_else(|_| start("alertmanager"));
        let process = process.expect("Alertmanager is missing: run `make test`");
        let (url, client) = (format!("http://{address}"), http::client().unwrap());
        eventually("an Alertmanager", async || http::probe(&client, &format!("{url}/-/ready")).await).await;
        Self { url, client, notices, mail, _process: process, _dir: dir }
    }

    /// Tells it what Prometheus would: this alert fires from now on, or has ended.
    async fn tell(&self, name: &str, service: &str, severity: &str, has_ended: bool) {
        let now = OffsetDateTime::now_utc();
        let end = if has_ended { now } else { now + Duration::from_secs(300) };
        let alert = json!([{
            "labels": {"alertname": name, "service": service, "severity": severity},
            "annotations": {"summary": format!("{name} of {service}")},
            "startsAt": (now - Duration::from_secs(60)).format(&Rfc3339).unwrap(),
            "endsAt": end.format(&Rfc3339).unwrap(),
        }]);
        let answer = self.client.post(self.url.clone() + "/api/v2/alerts").json(&alert).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// Status, name and service of each alert that the alert log was told of.
    fn told(&self) -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let notices = self.notices.lock().unwrap();
        let alerts = notices.iter().flat_map(|notice| notice["alerts"].as_array().unwrap().clone());
        alerts
            .map(|alert| {
                let labels = &alert["labels"];
                (text(&alert["status"]), text(&labels["alertname"]), text(&labels["service"]))
            })
            .collect()
    }

    async fn is_told(&self, status: &str, name: &str, service: &str) {
        let expected = (status.to_owned(), name.to_owned(), service.to_owned());
        eventually(&format!("{expected:?} in the alert log"), async || {
            let told = self.told();
            if told.contains(&expected) { Ok(()) } else { Err(format!("{told:?}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn an_alert_reaches_the_alert_log_and_the_mailbox_and_so_does_its_end() {
    let alertmanager = Alertmanager::start().await;
    for (severity, service) in [("page", "order-gateway"), ("ticket", "payment-service")] {
        alertmanager.tell("HighErrorRate", service, severity, false).await;
        alertmanager.is_told("firing", "HighErrorRate", service).await;
        alertmanager.tell("HighErrorRate", service, severity, true).await;
        alertmanager.is_told("resolved", "HighErrorRate", service).await;
    }
    let first = alertmanager.notices.lock().unwrap()[0].clone();
    assert_eq!((&first["version"], &first["receiver"]), (&json!("4"), &json!("on-call")));
    let subjects = ["[FIRING:1]", "[RESOLVED]"];
    eventually("both e-mails", async || {
        let emails = alertmanager.mail.accepted();
        let is_there = |subject: &&str| {
            let is_it = |text: &str| text.contains(*subject) && text.contains("HighErrorRate");
            emails.iter().any(|email| email.to == ["on-call@omnitrace.local"] && is_it(&email.text))
        };
        if subjects.iter().all(is_there) { Ok(()) } else { Err(format!("{emails:?}")) }
    })
    .await;
}

#[tokio::test]
async fn what_is_down_and_what_a_page_says_already_is_held_back() {
    let alertmanager = Alertmanager::start().await;
    alertmanager.tell("ServiceDown", "payment-service", "page", false).await;
    alertmanager.tell("OrderErrorBudgetBurnFast", "order-gateway", "page", false).await;
    alertmanager.is_told("firing", "ServiceDown", "payment-service").await;
    alertmanager.is_told("firing", "OrderErrorBudgetBurnFast", "order-gateway").await;
    alertmanager.tell("QueueProcessingFailures", "payment-service", "page", false).await;
    alertmanager.tell("OrderErrorBudgetBurnSlow", "order-gateway", "ticket", false).await;
    // Told last, and of another service: when it arrives, the two before it would have.
    alertmanager.tell("HighErrorRate", "order-gateway", "page", false).await;
    alertmanager.is_told("firing", "HighErrorRate", "order-gateway").await;
    let answer = alertmanager.client.get(alertmanager.url.clone() + "/api/v2/alerts").send().await.unwrap();
    let mut held: Vec<String> = answer
        .json::<Vec<Value>>()
        .await
        .unwrap()
        .iter()
        .filter(|alert| alert["status"]["state"] == "suppressed")
        .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
        .collect();
    held.sort();
    assert_eq!(held, ["OrderErrorBudgetBurnSlow", "QueueProcessingFailures"]);
    let told = alertmanager.told();
    assert!(told.iter().all(|(_, name, _)| !held.contains(name)), "{told:?}");

    alertmanager.tell("ServiceDown", "payment-service", "page", true).await;
    alertmanager.is_told("firing", "QueueProcessingFailures", "payment-service").await;
}
