//! The shipped routes in a real Alertmanager: which receiver gets an alert, and which alert is inhibited.

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, http::HeaderMap, routing::post};
use reqwest::Client;
use serde_json::{Value, json};
use stacks::{address, compose::runbook::runbook, http};
use tempfile::TempDir;
use testkit::{smtp::SmtpServer, wait::eventually};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
};

const SHIPPED: &str = include_str!("../../alertmanager/alertmanager.yaml");

/// Of the links to runbooks.
const BASE: &str = "https://git.example/omnitrace/main";
const TOKEN: &str = "the-token-of-the-alert-log";

/// The notices with the right token, in place of the gateway's alert log.
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
    /// Starts it with the shipped configuration, changed in addresses, token file and waiting times.
    async fn start() -> Self {
        let (notices, mail) = (Notices::default(), SmtpServer::start().await.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let log = listener.local_addr().unwrap();
        let accepted = notices.clone();
        let keep = async move |headers: HeaderMap, axum::Json(notice): axum::Json<Value>| {
            if headers["authorization"] == format!("Bearer {TOKEN}").as_str() {
                accepted.lock().unwrap().push(notice);
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/alerts", post(keep))).await });

        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        fs::write(&token, format!("{TOKEN}\n")).unwrap();
        let link = dir.path().join("runbook.tmpl");
        fs::write(&link, runbook(BASE).unwrap()).unwrap();
        let email = concat!(env!("CARGO_MANIFEST_DIR"), "/alertmanager/email.tmpl");
        let mut config = SHIPPED.to_owned();
        for (shipped, here) in [
            ("/etc/alertmanager/email.tmpl", email.to_owned()),
            ("/run/secrets/runbook.tmpl", link.display().to_string()),
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
        // Debian renames the program.
        let process = start("prometheus-alertmanager").or_else(|_| start("alertmanager"));
        let process = process.expect("Alertmanager is missing: run `make test`");
        let (url, client) = (format!("http://{address}"), http::client().unwrap());
        eventually("an Alertmanager", async || http::probe(&client, &format!("{url}/-/ready")).await).await;
        Self { url, client, notices, mail, _process: process, _dir: dir }
    }

    /// Posts an alert as Prometheus does: it fires, or it has ended.
    async fn post(&self, name: &str, service: &str, severity: &str, has_ended: bool) {
        let now = OffsetDateTime::now_utc();
        let end = if has_ended { now } else { now + Duration::from_secs(300) };
        let alert = json!([{
            "labels": {"alertname": name, "service": service, "severity": severity},
            "annotations": {
                "summary": format!("{name} of {service}"),
                "runbook_url": format!("docs/runbooks/{name}.md"),
            },
            "startsAt": (now - Duration::from_secs(60)).format(&Rfc3339).unwrap(),
            "endsAt": end.format(&Rfc3339).unwrap(),
        }]);
        let answer = self.client.post(self.url.clone() + "/api/v2/alerts").json(&alert).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// Status, name and service of each alert in the alert log.
    fn received(&self) -> Vec<(String, String, String)> {
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

    async fn receives(&self, status: &str, name: &str, service: &str) {
        let expected = (status.to_owned(), name.to_owned(), service.to_owned());
        eventually(&format!("{expected:?} in the alert log"), async || {
            let received = self.received();
            if received.contains(&expected) { Ok(()) } else { Err(format!("{received:?}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn an_alert_and_its_end_reach_the_alert_log_and_the_mailbox() {
    let alertmanager = Alertmanager::start().await;
    for (severity, service) in [("page", "order-gateway"), ("ticket", "payment-service")] {
        alertmanager.post("HighErrorRate", service, severity, false).await;
        alertmanager.receives("firing", "HighErrorRate", service).await;
        alertmanager.post("HighErrorRate", service, severity, true).await;
        alertmanager.receives("resolved", "HighErrorRate", service).await;
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
async fn an_alert_email_links_its_runbook() {
    let alertmanager = Alertmanager::start().await;
    alertmanager.post("HighErrorRate", "order-gateway", "page", false).await;
    eventually("the e-mail with the link", async || {
        let emails = alertmanager.mail.accepted();
        // Quoted-printable: soft line breaks, and = as an escape.
        let plain = |text: &str| text.replace("=\r\n", "").replace("=\n", "").replace("=3D", "=");
        let link = format!("<a href=\"{BASE}/docs/runbooks/HighErrorRate.md\">");
        if emails.iter().any(|email| plain(&email.text).contains(&link)) {
            Ok(())
        } else {
            Err(format!("{emails:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn alerts_of_a_down_service_or_below_a_page_are_inhibited() {
    let alertmanager = Alertmanager::start().await;
    alertmanager.post("ServiceDown", "payment-service", "page", false).await;
    alertmanager.post("OrderErrorBudgetBurnFast", "order-gateway", "page", false).await;
    alertmanager.receives("firing", "ServiceDown", "payment-service").await;
    alertmanager.receives("firing", "OrderErrorBudgetBurnFast", "order-gateway").await;
    alertmanager.post("QueueProcessingFailures", "payment-service", "page", false).await;
    alertmanager.post("OrderErrorBudgetBurnSlow", "order-gateway", "ticket", false).await;
    // Posted last, for another service: when it has arrived, the two before it would have, too.
    alertmanager.post("HighErrorRate", "order-gateway", "page", false).await;
    alertmanager.receives("firing", "HighErrorRate", "order-gateway").await;
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
    let received = alertmanager.received();
    assert!(received.iter().all(|(_, name, _)| !held.contains(name)), "{received:?}");

    alertmanager.post("ServiceDown", "payment-service", "page", true).await;
    alertmanager.receives("firing", "QueueProcessingFailures", "payment-service").await;
}
