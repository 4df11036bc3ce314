//! `stacks prove` on the local stack: it proves a whole system, and names each defect of another.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use serde_json::{Value, json};
use stacks::local::layout::Component;
use testkit::smtp::{Behavior, SmtpServer};
use tokio::net::TcpListener;

use crate::harness::{Ended, Program, System};

const ORDERS: usize = 5;

impl System {
    /// Runs `stacks prove` on this system.
    async fn prove(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
        let orders = ORDERS.to_string();
        let common = ["prove", "--stack", "local", "--orders", &orders];
        Program::start("stacks", &[&common[..], arguments].concat(), self.dir(), settings).ended().await
    }

    /// Runs `stacks prove` on a system with a defect: the failed checks, and what each of them misses.
    async fn disproves(&self, settings: &[(&str, &str)]) -> Vec<(String, Value)> {
        let ended = self.prove(&["--within", "4", "--json"], settings).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
        assert_eq!(report["proven"], false);
        let checks = report["checks"].as_array().unwrap().iter();
        let broken = checks.filter(|check| check["whole"] == false);
        broken.map(|check| (check["name"].as_str().unwrap().to_owned(), check["missing"].clone())).collect()
    }
}

/// The reasons of the failed check of this name.
fn reasons<'a>(broken: &'a [(String, Value)], name: &str) -> Vec<&'a str> {
    let missing = &broken.iter().find(|(check, _)| check == name).unwrap_or_else(|| panic!("{broken:?}")).1;
    missing.as_object().unwrap().keys().map(String::as_str).collect()
}

fn names(broken: &[(String, Value)]) -> Vec<&str> {
    broken.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn the_local_stack_is_proven_whole() {
    let system = System::start().await;
    let ended = system.prove(&[], &[]).await;
    assert_whole(&ended);
    assert_eq!(system.emails().len(), ORDERS);
    system.marks_synthetic(ORDERS).await;
}

#[tokio::test]
async fn prometheus_is_proven_where_the_stack_has_it() {
    let system = System::with(&[("ALERTS", "")]).await;
    assert!(system.stack.prometheus_url().is_some(), "prometheus is missing: run `make test`");
    // Earlier orders must not count.
    system.place().await;
    system.reaches(Component::Mailer, "emails_sent_total{outcome=\"sent\"}", 1.0).await;
    assert_whole(&system.prove(&[], &[]).await);
}

fn assert_whole(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    for part in [
        "✓ order accepted",
        "✓ trace, whole",
        "✓ log lines of all three",
        "✓ e-mail, exactly one",
        "✓ orders_created_total",
        "✓ payment_processed_total",
        "✓ messaging_published_total",
        "✓ messaging_received_total",
        "✓ emails_sent_total",
        "✓ exemplar of order-gateway",
        "✓ exemplar of payment-service",
        "✓ exemplar of email-service",
        "✓ registry kept",
        "proven on the local stack",
    ] {
        assert!(ended.stdout.contains(part), "`{part}` is not in {}", ended.stdout);
    }
}

/// A system with one service restarted under another setting.
async fn with_setting(service: Component, key: &str, value: &str) -> System {
    let mut system = System::start().await;
    system.kill(service);
    system.stack.set(key, Some(value));
    system.restart(service).await;
    system
}

#[tokio::test]
async fn a_service_with_its_exporter_off_is_named() {
    let system = with_setting(Component::Mailer, "OTEL_TRACES_EXPORTER", "none").await;
    let broken = system.disproves(&[]).await;
    // Without spans, lines have no trace id and histograms no exemplar.
    let expected = ["trace, whole", "log lines of all three", "exemplar of email-service"];
    assert_eq!(names(&broken), expected, "{broken:?}");
    let consumer = "no span email-service consumer `process checkout:payment.succeeded:mailer.payments`";
    assert_eq!(
        reasons(&broken, "trace, whole"),
        ["no span email-service client `send email`", consumer],
        "{broken:?}"
    );
    // The report lists every order that lacks this span.
    assert_eq!(broken[0].1[consumer].as_array().unwrap().len(), ORDERS, "{broken:?}");
}

#[tokio::test]
async fn missing_spans_and_their_orphans_are_named() {
    let nowhere = "http://127.0.0.1:9/v1/traces";
    let system = with_setting(Component::Payment, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", nowhere).await;
    let broken = system.disproves(&[]).await;
    assert_eq!(names(&broken), ["trace, whole"], "{broken:?}");
    let expected = [
        "no parent of email-service consumer `process checkout:payment.succeeded:mailer.payments`",
        "no span payment-service producer `publish checkout:payment.succeeded`",
        "no span payment-service server `POST /process-payment`",
    ];
    assert_eq!(reasons(&broken, "trace, whole"), expected);
}

#[tokio::test]
async fn a_service_whose_log_lines_lack_the_trace_id_is_named() {
    let system = System::start().await;
    let logs = system.edit_log_lines("email-service", |line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("trace.id");
        line.to_string()
    });
    let broken = system.disproves(&[("LOG_DIR", &logs)]).await;
    assert_eq!(names(&broken), ["log lines of all three"], "{broken:?}");
    let reasons = reasons(&broken, "log lines of all three");
    assert_eq!(reasons, ["no log line of email-service with the trace id"]);
}

#[tokio::test]
async fn signals_that_the_registry_does_not_have_are_named() {
    let system = System::start().await;
    let logs =
        system.edit_log_lines("email-service", |line| line.replace("email.transport", "email.transports"));
    let traces = system.stack.layout().traces.unwrap().ui;
    system.edit_answers(traces, |answer| answer.replace("http.route", "http.routes")).await;
    let page = |page: &str| page.replace("# TYPE inbox_queued gauge", "# TYPE inbox_queued counter");
    system.edit_answers(system.stack.layout().mailer, page).await;
    let broken = system.disproves(&[("LOG_DIR", &logs)]).await;
    assert_eq!(names(&broken), ["registry kept"], "{broken:?}");
    let reasons = reasons(&broken, "registry kept");
    for expected in [
        "the line email-service `e-mail sent` lacks email.transport, which event.email.sent requires",
        "the line email-service `e-mail sent` has email.transports, and event.email.sent has not",
        "the span order-gateway server `POST /create-order` is not in the registry",
        "the metric inbox_queued_total of email-service is not in the registry",
    ] {
        assert!(reasons.contains(&expected), "no {expected:?} among {reasons:#?}");
    }
}

#[tokio::test]
async fn a_consumer_that_starts_a_trace_of_its_own_is_named() {
    let system = System::start().await;
    // In place of its spans: the trace without those of the consumer.
    let traces = system.stack.layout().traces.unwrap().ui;
    system
        .edit_answers(traces, |answer| {
            let Ok(mut answer) = serde_json::from_str::<Value>(answer) else { return answer.to_owned() };
            for trace in answer["data"].as_array_mut().into_iter().flatten() {
                let processes = trace["processes"].clone();
                let is_kept = |span: &Value| {
                    let process = span["processID"].as_str().unwrap();
                    processes[process]["serviceName"] != "email-service"
                };
                trace["spans"].as_array_mut().unwrap().retain(is_kept);
            }
            answer.to_string()
        })
        .await;
    let broken = system.disproves(&[]).await;
    let reasons = reasons(&broken, "trace, whole");
    let expected = [
        "no span email-service client `send email`",
        "no span email-service consumer `process checkout:payment.succeeded:mailer.payments`",
    ];
    assert_eq!(reasons, expected);
}

/// A page of metrics with each line edited.
fn edit_lines(page: &str, edit: impl Fn(&str) -> String) -> String {
    page.split_inclusive('\n').map(edit).collect()
}

#[tokio::test]
async fn a_counter_that_counts_twice_is_named() {
    let system = System::start().await;
    system
        .edit_answers(system.stack.layout().gateway, |page| {
            edit_lines(page, |line| match line.strip_prefix("orders_created_total ") {
                Some(rest) => {
                    let (value, rest) = rest.split_at(rest.find([' ', '\n']).unwrap());
                    format!("orders_created_total {}{rest}", 2.0 * value.parse::<f64>().unwrap())
                }
                None => line.to_owned(),
            })
        })
        .await;
    let broken = system.disproves(&[]).await;
    assert_eq!(names(&broken), ["orders_created_total"], "{broken:?}");
    let reasons = reasons(&broken, "orders_created_total");
    assert_eq!(reasons, ["orders_created_total of order-gateway grew by 10"]);
}

#[tokio::test]
async fn exemplars_that_lead_nowhere_are_named() {
    let system = System::start().await;
    system
        .edit_answers(system.stack.layout().mailer, |page| {
            edit_lines(page, |line| match line.split_once(" # ") {
                Some((sample, _)) => format!("{sample}\n"),
                None => line.to_owned(),
            })
        })
        .await;
    let broken = system.disproves(&[]).await;
    assert_eq!(names(&broken), ["exemplar of email-service"], "{broken:?}");
    let reasons = reasons(&broken, "exemplar of email-service");
    let part = "no exemplar in messaging_process_duration_seconds of email-service";
    assert!(reasons[0].starts_with(part), "{reasons:?}");
}

/// Mailpit's search, over the e-mails that the fake mail server accepted.
async fn mailpit(server: &SmtpServer) -> String {
    #[derive(serde::Deserialize)]
    struct Search {
        query: String,
    }
    let search = async |State(server): State<Arc<SmtpServer>>, Query(search): Query<Search>| {
        let found = server.accepted().into_iter().filter(|email| email.text.contains(&search.query)).count();
        Json(json!({"messages_count": found}))
    };
    let pages = Router::new().route("/api/v1/search", get(search)).with_state(Arc::new(server.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, pages).await });
    address
}

#[tokio::test]
async fn only_an_email_that_is_sent_twice_is_named() {
    for count in [1, 2] {
        let server = SmtpServer::start().await.unwrap();
        // Accepted without a reply, an e-mail is sent again.
        server.script(&[Behavior::AcceptAndClose; ORDERS][..(count - 1) * ORDERS]);
        let (smtp, web) = (server.url(), mailpit(&server).await);
        let system = System::with(&[("SMTP_URL", &smtp)]).await;
        let settings = [("SMTP_URL", smtp.as_str()), ("MAILPIT_LISTEN", &web)];
        if count == 1 {
            let ended = system.prove(&[], &settings).await;
            assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        } else {
            let broken = system.disproves(&settings).await;
            assert_eq!(names(&broken), ["e-mail, exactly one"], "{broken:?}");
            assert_eq!(reasons(&broken, "e-mail, exactly one"), ["2 e-mails instead of one"]);
        }
        assert_eq!(server.accepted().len(), count * ORDERS);
    }
}

#[tokio::test]
async fn a_stopped_stack_is_reported_with_the_command_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let prove = ["prove", "--stack", "local"];
    let ended = Program::start("stacks", &prove, dir.path(), &[]).ended().await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("the local stack does not run: `make up` starts it"), "{}", ended.stderr);
}
