//! Backends against answers written by their documentation; see `tests/documented/README.md`.

use axum::http::StatusCode;
use serde_json::{Value, json};
use stacks::{
    backends::{
        Inbox as _, Logged, Logs, Traces as _, elasticsearch::Elasticsearch, lines::Which, mailpit::Mailpit,
    },
    http,
};

use crate::{assert_whole, server::Server};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const ORDER: &str = "01a21000-0000-7000-8000-000000000001";

fn elasticsearch(server: &Server) -> Elasticsearch {
    Elasticsearch::new(http::client().unwrap(), &server.url, "elastic", "secret")
}

#[tokio::test]
async fn log_lines_are_found_in_elasticsearch() {
    let server = Server::well("documented/elasticsearch-9.5/logs.json").await;
    let lines = elasticsearch(&server).lines(&[TRACE]).await.unwrap();
    let line = |service: &str, order: Option<&str>| Logged {
        trace: TRACE.into(),
        service: service.into(),
        order: order.map(str::to_owned),
    };
    let services = [
        ("order-gateway", Some(ORDER)),
        ("order-gateway", None),
        ("payment-service", Some(ORDER)),
        ("email-service", Some(ORDER)),
    ];
    assert_eq!(lines, services.map(|(service, order)| line(service, order)));

    let (path, login, body) = server.last_request();
    assert_eq!(path, "/logs-omnitrace-*/_search?ignore_unavailable=true");
    assert_eq!(login, "Basic ZWxhc3RpYzpzZWNyZXQ=");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["query"], json!({"terms": {"trace.id": [TRACE]}}));
    assert_eq!(body["fields"], json!(["trace.id", "service.name", "order.id"]));
}

#[tokio::test]
async fn apm_documents_of_an_order_make_its_whole_trace() {
    let server = Server::well("documented/elasticsearch-9.5/trace.json").await;
    let trace = elasticsearch(&server).trace(TRACE).await.unwrap().unwrap();
    assert_eq!((trace.id.as_str(), trace.spans.len()), (TRACE, 7));
    assert_whole(&trace);
    assert_eq!(trace.spans[3].kind, "internal");
    assert_eq!(trace.spans[0].attributes["order_id"], ORDER);
}

#[tokio::test]
async fn no_hits_in_elasticsearch_are_none_and_a_401_is_an_error() {
    let server = Server::well("documented/elasticsearch-9.5/nothing.json").await;
    assert_eq!(elasticsearch(&server).trace(TRACE).await.unwrap(), None);
    assert_eq!(elasticsearch(&server).lines(&[TRACE]).await.unwrap(), []);

    let file = "documented/elasticsearch-9.5/unauthorized.json";
    let server = Server::with(StatusCode::UNAUTHORIZED, file).await;
    let error = elasticsearch(&server).lines(&[TRACE]).await.unwrap_err().to_string();
    assert!(error.contains("answered 401") && error.contains("unable to authenticate"), "{error}");
}

#[tokio::test]
async fn a_line_of_elasticsearch_is_found_in_full() {
    let server = Server::well("documented/elasticsearch-9.5/line.json").await;
    let lines = elasticsearch(&server).find(&Which::Order(ORDER.into())).await.unwrap();
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((line.service.as_str(), line.message.as_str()), ("email-service", "e-mail sent"));
    assert_eq!((line.trace(), line.order()), (Some(TRACE), Some(ORDER)));
    assert_eq!(line.time.unwrap().unix_timestamp_nanos() % 1_000_000_000, 123_000_000);
    assert_eq!(line.fields["email.attempt"], 2);

    let (_, _, body) = server.last_request();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["query"], json!({"term": {"order.id": ORDER}}));
    let query = Logs::query(&elasticsearch(&server), &Which::Order(ORDER.into()));
    assert_eq!(query.text, format!("order.id : \"{ORDER}\""));
}

#[tokio::test]
async fn an_email_of_mailpit_is_read_with_its_text() {
    let server = Server::of(&[
        ("/api/v1/search", "documented/mailpit-1.34/search.json"),
        ("/api/v1/message/a", "documented/mailpit-1.34/message.json"),
    ])
    .await;
    let mailpit = Mailpit::new(http::client().unwrap(), &server.url);
    let email = mailpit.email(ORDER).await.unwrap().unwrap();
    assert_eq!(
        (email.from.as_str(), email.to.as_str()),
        ("Omnitrace Checkout <checkout@omnitrace.example>", "ada@example.com")
    );
    assert_eq!(
        (email.message_id.as_str(), email.page.as_deref(), email.count),
        ("1@omnitrace.example", Some("a"), 2)
    );
    assert!(email.text.starts_with("Thank you!"), "{email:?}");
}

#[tokio::test]
async fn mailpit_counts_the_emails_of_an_order() {
    let server = Server::well("documented/mailpit-1.34/search.json").await;
    let mailpit = Mailpit::new(http::client().unwrap(), &server.url);
    assert_eq!(mailpit.emails(ORDER).await.unwrap(), 2);
    assert_eq!(server.last_request().0, format!("/api/v1/search?query={ORDER}&limit=1"));
}
