//! A client that disconnects before the answer is counted and logged as such.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use testkit::otlp::attribute;
use testkit::wait::eventually;

use crate::observed::observed;
use crate::support::lines::of_trace;

/// Sends a request of `trace` that is not answered, and closes the connection while it is at work.
async fn disconnect(trace: &str, close: impl FnOnce(TcpStream)) {
    let address = observed().url.strip_prefix("http://").unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    write!(
        client,
        "GET /waits HTTP/1.1\r\nhost: localhost\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\n\r\n"
    )
    .unwrap();
    let waiting = async || (observed().bench.metric("http_server_active_requests").await > 0).then_some(());
    eventually("the request to be at work", waiting).await;
    close(client);
}

async fn assert_recorded(trace: &str, number: u64) {
    let series = r#"http_request_duration_seconds_count{method="GET",route="/waits",status="499"}"#;
    eventually("the disconnect to be measured", async || {
        (observed().bench.metric(series).await == number).then_some(())
    })
    .await;
    let lines = observed().bench.lines().await;
    let [line] = &of_trace(&lines, trace)[..] else { panic!("{lines:?}") };
    assert_eq!(line.message(), "client disconnected");
    assert_eq!(line.get("http.response.status_code"), 499);
    let span = eventually("the span", async || observed().sink.of_trace(trace).pop()).await;
    assert_eq!(attribute(&span.attributes, "http.response.status_code").as_deref(), Some("499"));
}

#[actix_rt::test]
async fn a_client_that_disconnects_is_counted_and_logged() {
    let (reset, closed) = ("0af7651916cd43dd8448eb211c80319c", "0af7651916cd43dd8448eb211c80319d");
    disconnect(reset, |client| {
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    assert_recorded(reset, 1).await;
    // FIN: the server alone decides whether the client may still read.
    disconnect(closed, drop).await;
    assert_recorded(closed, 2).await;
}
