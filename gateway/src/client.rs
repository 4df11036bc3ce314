//! The identity of a client: whose limit, share and idempotency keys a request counts for.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;

/// The network of the client of a request.
pub(crate) fn client(request: &HttpRequest) -> Option<IpAddr> {
    telemetry::http::client(request).map(network)
}

/// The network of an address: the address, or for IPv6 the network of 64 bits in which it can choose its address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// The identity of the client of a request: its `Authorization`, which a proxy in front has checked, or else its network.
pub(crate) fn identity(request: &HttpRequest) -> Vec<u8> {
    match (request.headers().get(AUTHORIZATION), client(request)) {
        (Some(credentials), _) => [b"authorization ", credentials.as_bytes()].concat(),
        (None, Some(client)) => format!("network {client}").into_bytes(),
        (None, None) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn of(peer: &str, authorization: Option<&str>) -> Vec<u8> {
        let mut request = TestRequest::default().peer_addr(peer.parse().unwrap());
        if let Some(value) = authorization {
            request = request.append_header((AUTHORIZATION, value));
        }
        identity(&request.to_http_request())
    }

    #[test]
    fn a_client_without_credentials_is_its_network() {
        assert_eq!(of("192.0.2.1:1", None), of("192.0.2.1:2", None));
        assert_eq!(of("192.0.2.1:1", None), of("[::ffff:192.0.2.1]:1", None));
        assert_ne!(of("192.0.2.1:1", None), of("192.0.2.2:1", None));
        assert_eq!(of("[2001:db8::1]:1", None), of("[2001:db8::ffff:1]:1", None));
        assert_ne!(of("[2001:db8::1]:1", None), of("[2001:db8:0:1::1]:1", None));
    }

    #[test]
    fn a_client_with_credentials_is_the_same_from_everywhere() {
        assert_eq!(of("192.0.2.1:1", Some("Bearer ada")), of("192.0.2.2:1", Some("Bearer ada")));
        assert_ne!(of("192.0.2.1:1", Some("Bearer ada")), of("192.0.2.1:1", Some("Bearer eve")));
        assert_ne!(of("192.0.2.1:1", Some("network 192.0.2.1")), of("192.0.2.1:1", None));
    }
}
