//! The client against a payment that misbehaves on a real socket.

use clap::Parser;
use payment_api::{Currency, Customer, Email};
use slog::{Discard, o};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;

fn client(port: u16) -> Addr<Payments> {
    let url = format!("http://127.0.0.1:{port}");
    let settings =
        ["gateway", "--payment-token", "0123456789abcdef", "--payment-url", &url, "--payment-deadline", "3s"];
    Payments::new(&Config::parse_from(settings), &Logger::root(Discard, o!())).unwrap().start()
}

async fn pay(payments: &Addr<Payments>) -> Result<Payment, PayError> {
    let payment = NewPayment {
        order_id: Uuid::now_v7(),
        customer: Customer { email: Email::new("ada@example.com") },
        items: Vec::new(),
        amount: "5.00".into(),
        currency: Currency::Usd,
    };
    payments.send(Traced::new(Pay { payment, idempotency_key: "k".into() })).await.unwrap()
}

#[actix_rt::test]
async fn where_nobody_listens_nothing_was_charged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    assert!(matches!(pay(&client(port)).await, Err(PayError::Unavailable(_))));
}

#[actix_rt::test]
async fn a_payment_that_dies_with_the_request_may_have_charged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let payments = client(listener.local_addr().unwrap().port());
    let dying = async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read_exact(&mut [0; 64]).await.unwrap();
        // The connection and the port go together, as with a process.
    };
    let (_, answer) = tokio::join!(dying, pay(&payments));
    assert!(matches!(answer, Err(PayError::OutcomeUnknown(_))), "{answer:?}");
}

#[actix_rt::test]
async fn a_payment_that_never_answers_is_given_up_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let payments = client(listener.local_addr().unwrap().port());
    let begun = Instant::now();
    let answer = pay(&payments).await;
    assert!(matches!(answer, Err(PayError::OutcomeUnknown(_))), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
