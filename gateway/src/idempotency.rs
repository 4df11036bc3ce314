//! The `Idempotency-Key` of a client, and the key that payment gets.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use payment_api::http::{IDEMPOTENCY_KEY, MAX_IDEMPOTENCY_KEY, order_key};
use service::problem::Problem;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::client::identity;

/// The key for payment: derived from the client and its key, or from the order where the client sent none. Two clients with
/// the same key have two orders, and every attempt of the gateway has the same key.
///
/// # Errors
/// 400 when the client's key is not 1 to 255 visible ASCII characters, or there are two of them.
pub(crate) fn derived_key(request: &HttpRequest, order_id: Uuid) -> Result<String, Problem> {
    let mut keys = request.headers().get_all(IDEMPOTENCY_KEY);
    match (keys.next(), keys.next()) {
        (None, _) => Ok(order_key(order_id)),
        (Some(key), None) => {
            let key = key.to_str().ok().and_then(parse).ok_or_else(invalid)?;
            let mut digest = Sha256::new();
            digest.update(Sha256::digest(identity(request)));
            digest.update(key);
            let digest = digest.finalize();
            Ok(format!("client-{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
        }
        (Some(_), Some(_)) => Err(invalid()),
    }
}

/// The key in either form: `abc`, or `"abc"` as in draft-ietf-httpapi-idempotency-key-header.
fn parse(header: &str) -> Option<&str> {
    let quoted = header.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let key = quoted.unwrap_or(header);
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    (is_visible && (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len())).then_some(key)
}

fn invalid() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "idempotency-key-invalid",
        "Idempotency key invalid",
        "Send one Idempotency-Key header of 1 to 255 visible ASCII characters, such as a UUID, or none.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn key(headers: &[&str]) -> Result<String, u16> {
        let mut request = TestRequest::default();
        for header in headers {
            request = request.append_header((IDEMPOTENCY_KEY, *header));
        }
        derived_key(&request.to_http_request(), Uuid::nil()).map_err(|problem| problem.status)
    }

    #[test]
    fn a_key_with_or_without_quotes_is_the_same() {
        assert_eq!(key(&["abc-1"]), key(&["\"abc-1\""]));
        assert_ne!(key(&["abc-1"]), key(&["abc-2"]));
        assert!(key(&["abc-1"]).unwrap().len() <= MAX_IDEMPOTENCY_KEY);
    }

    #[test]
    fn a_key_of_another_client_is_another_key() {
        let key = |peer: &str| {
            let request = TestRequest::default().append_header((IDEMPOTENCY_KEY, "abc-1"));
            derived_key(&request.peer_addr(peer.parse().unwrap()).to_http_request(), Uuid::nil()).unwrap()
        };
        assert_eq!(key("192.0.2.1:1"), key("192.0.2.1:2"));
        assert_ne!(key("192.0.2.1:1"), key("192.0.2.2:1"));
    }

    #[test]
    fn a_missing_key_is_replaced_by_the_order() {
        assert_eq!(key(&[]).unwrap(), format!("order-{}", Uuid::nil()));
    }

    #[test]
    fn a_bad_key_is_refused() {
        for bad in ["", "\"\"", "a b", "a\tb", "a\"b", "ä", &"x".repeat(256)] {
            assert_eq!(key(&[bad]), Err(400), "{bad}");
        }
        assert_eq!(key(&["a", "a"]), Err(400));
    }
}
