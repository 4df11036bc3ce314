//! The client of payment against servers that misbehave.

use actix_web::ResponseError;
use clap::Parser;
use payment_api::{Currency, Customer, Email};
use service::problem::Problem;
use telemetry::testing::{Capture, attribute};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn client(port: u16) -> Addr<Payments> {
    observed(port, &Capture::start())
}

fn observed(port: u16, seen: &Capture) -> Addr<Payments> {
    let url = format!("http://127.0.0.1:{port}");
    let settings =
        ["gateway", "--payment-token", "0123456789abcdef", "--payment-url", &url, "--payment-deadline", "3s"];
    let metrics = Metrics::register(seen.registry()).unwrap();
    Payments::new(&Config::parse_from(settings), &metrics, &seen.log()).unwrap().start()
}

async fn pay(payments: &Addr<Payments>) -> Result<Payment, CallError> {
    let payment = NewPayment {
        order_id: Uuid::now_v7(),
        customer: Customer { email: Email::parse("ada@example.com").unwrap() },
        items: Vec::new(),
        amount: "5.00".into(),
        currency: Currency::Usd,
    };
    payments.send(Traced::new(RequestPayment { payment, idempotency_key: "k".into() })).await.unwrap()
}

#[actix_rt::test]
async fn a_refused_connection_means_nothing_was_charged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    assert!(matches!(pay(&client(port)).await, Err(CallError::Unavailable(_))));
}

#[actix_rt::test]
async fn a_connection_lost_with_the_request_may_have_charged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let payments = client(listener.local_addr().unwrap().port());
    let dying = async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read_exact(&mut [0; 64]).await.unwrap();
        // Connection and port close together, as when a process ends.
    };
    let (_, answer) = tokio::join!(dying, pay(&payments));
    assert!(matches!(answer, Err(CallError::OutcomeUnknown(_))), "{answer:?}");
}

#[actix_rt::test]
async fn a_payment_that_never_answers_ends_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let payments = client(listener.local_addr().unwrap().port());
    let begun = Instant::now();
    let answer = pay(&payments).await;
    assert!(matches!(answer, Err(CallError::OutcomeUnknown(_))), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// A payment that sends these responses, one on each connection, and then none.
async fn answering(answers: impl IntoIterator<Item = &'static str> + 'static) -> Addr<Payments> {
    answering_before(&Capture::start(), answers).await
}

async fn answering_before(
    seen: &Capture,
    answers: impl IntoIterator<Item = &'static str> + 'static,
) -> Addr<Payments> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let payments = observed(listener.local_addr().unwrap().port(), seen);
    actix_rt::spawn(async move {
        for answer in answers {
            let (mut connection, _) = listener.accept().await.unwrap();
            connection.read_exact(&mut [0; 64]).await.unwrap();
            connection.write_all(answer.as_bytes()).await.unwrap();
            connection.shutdown().await.unwrap();
            // Read to the end: closing a socket with unread data resets it and discards the response.
            let _ = connection.read_to_end(&mut Vec::new()).await;
        }
        std::future::pending::<()>().await;
    });
    payments
}

/// The connection ends without an answer.
const NOTHING: &str = "";
const IN_PROGRESS: &str = "HTTP/1.1 409 Conflict\r\nconnection: close\r\nretry-after: 1\r\n\r\n\
    {\"type\":\"/problems/idempotency-in-progress\",\"title\":\"t\",\"status\":409,\"detail\":\"d\"}";
const OUTBOX_FULL: &str = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 7\r\n\r\n\
    {\"type\":\"/problems/outbox-full\",\"title\":\"t\",\"status\":503,\"detail\":\"d\"}";
const KEY_REUSED: &str = "HTTP/1.1 422 Unprocessable Content\r\nconnection: close\r\n\r\n\
     {\"type\":\"/problems/idempotency-key-reused\",\"title\":\"a\",\"status\":422,\"detail\":\"b\"}";
const UNKNOWN: &str = "HTTP/1.1 504 Gateway Timeout\r\nconnection: close\r\n\r\n\
    {\"type\":\"/problems/outcome-unknown\",\"title\":\"t\",\"status\":504,\"detail\":\"d\"}";
const PANICKED: &str = "HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\n\r\n\
    {\"type\":\"/problems/internal\",\"title\":\"t\",\"status\":500,\"detail\":\"d\"}";
const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n<h1>Bad Gateway</h1>";
const NO_UPSTREAM: &str =
    "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\nupstream connect error";
const PAID: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\
    {\"orderId\":\"01890000-0000-7000-8000-000000000001\",\"outcome\":\"succeeded\",\"amount\":\"5.00\",\
    \"currency\":\"USD\",\"settledAt\":\"2026-01-01T00:00:00Z\",\"event\":\"pending\"}";

fn retry_after(problem: &Problem) -> String {
    let response = problem.error_response();
    response.headers().get("retry-after").unwrap().to_str().unwrap().to_owned()
}

#[actix_rt::test]
async fn a_request_in_progress_of_another_client_is_passed_on() {
    let answer = pay(&answering([IN_PROGRESS]).await).await;
    let Err(CallError::InProgress(problem)) = answer else { panic!("{answer:?}") };
    assert_eq!(
        (problem.kind.as_ref(), retry_after(&problem)),
        ("/problems/idempotency-in-progress", "1".into())
    );
}

#[actix_rt::test]
async fn a_request_in_progress_of_this_call_is_waited_for() {
    let answers = [NOTHING, IN_PROGRESS, IN_PROGRESS, IN_PROGRESS, PAID];
    let answer = pay(&answering(answers).await).await;
    assert!(answer.is_ok(), "{answer:?}");
}

#[actix_rt::test]
async fn a_request_in_progress_for_too_long_has_no_known_outcome() {
    let answer = pay(&answering([NOTHING, IN_PROGRESS]).await).await;
    assert!(matches!(answer, Err(CallError::OutcomeUnknown(_))), "{answer:?}");
}

#[actix_rt::test]
async fn a_refusal_with_a_reason_is_passed_on_unchanged() {
    let answer = pay(&answering([OUTBOX_FULL]).await).await;
    let Err(CallError::Refused(problem)) = answer else { panic!("{answer:?}") };
    assert_eq!((problem.kind.as_ref(), retry_after(&problem)), ("/problems/outbox-full", "7".into()));
}

#[actix_rt::test]
async fn a_mistake_of_the_client_is_told_from_a_failure() {
    for (answer, is_of_client) in [(KEY_REUSED, true), (OUTBOX_FULL, false), (NOTHING, false)] {
        let error = pay(&answering([answer]).await).await.unwrap_err();
        assert_eq!(error.is_of_client(), is_of_client, "{error:?}");
    }
}

#[actix_rt::test]
async fn a_refusal_does_not_undo_an_earlier_attempt() {
    let answer = pay(&answering([NOTHING, OUTBOX_FULL]).await).await;
    assert!(matches!(answer, Err(CallError::OutcomeUnknown(_))), "{answer:?}");
}

#[actix_rt::test]
async fn an_unknown_outcome_of_payment_is_asked_for_again() {
    let answer = pay(&answering([UNKNOWN, PAID]).await).await;
    assert!(answer.is_ok(), "{answer:?}");
    let answer = pay(&answering([UNKNOWN, OUTBOX_FULL]).await).await;
    assert!(matches!(answer, Err(CallError::OutcomeUnknown(_))), "{answer:?}");
}

#[actix_rt::test]
async fn a_failure_of_payment_or_a_proxy_is_asked_again() {
    for failure in [PANICKED, BAD_GATEWAY, NO_UPSTREAM] {
        let answer = pay(&answering(vec![failure, PAID]).await).await;
        assert!(answer.is_ok(), "{failure}: {answer:?}");
        let answer = pay(&answering(vec![failure; 3]).await).await;
        assert!(matches!(answer, Err(CallError::Failed(_))), "{failure}: {answer:?}");
        let answer = pay(&answering(vec![failure, OUTBOX_FULL]).await).await;
        assert!(matches!(answer, Err(CallError::OutcomeUnknown(_))), "{failure}: {answer:?}");
    }
}

#[actix_rt::test]
async fn the_breaker_opens_while_payment_is_away_and_closes_after() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let payments = client(address.port());
    let mut refused = Err(CallError::Busy);
    for _ in 0..3 {
        refused = pay(&payments).await;
    }
    assert!(matches!(refused, Err(CallError::CircuitOpen)), "{refused:?}");

    let listener = TcpListener::bind(address).await.unwrap();
    let back = Instant::now();
    let asked = actix_rt::spawn(async move { listener.accept().await.map(drop) });
    while !asked.is_finished() {
        let _ = pay(&payments).await;
        assert!(back.elapsed() < Duration::from_secs(5), "payment is not called again");
    }
}

#[actix_rt::test]
async fn every_attempt_has_a_span_and_a_duration_by_outcome() {
    let seen = Capture::start();
    let answer = pay(&answering_before(&seen, [NOTHING, UNKNOWN, PAID]).await).await;
    assert!(answer.is_ok(), "{answer:?}");
    for (outcome, number) in [("answered", 1.0), ("timeout", 2.0), ("connect", 0.0), ("refused", 0.0)] {
        let labels = format!("method=\"POST\",outcome=\"{outcome}\",route=\"/process-payment\"");
        let series = format!("http_client_request_duration_seconds_count{{{labels}}}");
        assert_eq!(seen.metric(&series), number, "{series}");
    }
    let resends: Vec<_> =
        seen.spans().iter().map(|span| attribute(span, "http.request.resend_count")).collect();
    assert_eq!(resends, [None, Some("1".to_owned()), Some("2".to_owned())]);
}

#[actix_rt::test]
async fn an_open_breaker_lets_a_call_learn_its_own_outcome() {
    let payments = answering([NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, PAID]).await;
    let answers = tokio::join!(pay(&payments), pay(&payments));
    assert!(answers.0.is_ok() || answers.1.is_ok(), "{answers:?}");
}
