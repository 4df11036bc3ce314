//! The origin of a request: its client, and the server as the client has named it.

use std::net::IpAddr;
use std::rc::Rc;

use actix_web::http::header::HOST;
use actix_web::{HttpMessage, HttpRequest, web};

use super::forwarded::Found;
use super::observer::Observer;
use super::request::{bounded, header};

/// The server as the client has named it, and the client's address.
pub(super) struct Origin {
    pub(super) scheme: &'static str,
    pub(super) host: String,
    pub(super) port: Option<i64>,
    pub(super) client: Option<IpAddr>,
}

/// The address of the client of a request: the peer, or behind the proxies of the [`Observer`] the one that they name.
pub fn client(request: &HttpRequest) -> Option<IpAddr> {
    origin(request).client
}

/// The origin of a request, read once and kept with it: a header that can't be read is counted once.
pub(super) fn origin(request: &HttpRequest) -> Rc<Origin> {
    let known = request.extensions().get::<Rc<Origin>>().cloned();
    known.unwrap_or_else(|| {
        let origin = Rc::new(read(request));
        request.extensions_mut().insert(origin.clone());
        origin
    })
}

fn read(request: &HttpRequest) -> Origin {
    let observer = request.app_data::<web::Data<Observer>>();
    let Found { hop, is_malformed } = observer.map(|observer| observer.find(request)).unwrap_or_default();
    if let (true, Some(observer)) = (is_malformed, observer) {
        observer.count_malformed();
    }
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let client = hop.and_then(|hop| hop.client).or(peer);
    let is_secure = match hop.and_then(|hop| hop.scheme) {
        Some(scheme) => scheme.eq_ignore_ascii_case("https"),
        None => request.app_config().secure(),
    };
    let own = || {
        let host = header(request, HOST.as_str());
        let authority = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
        authority.unwrap_or_else(|| request.app_config().host())
    };
    let (host, port) = split(hop.and_then(|hop| hop.host).unwrap_or_else(own));
    let scheme = if is_secure { "https" } else { "http" };
    Origin { scheme, host: bounded(host).to_owned(), port, client }
}

fn split(authority: &str) -> (&str, Option<i64>) {
    match authority.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
        Some((name, Ok(port))) => (name, Some(port.into())),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use prometheus::Encoder;

    use super::*;
    use crate::http::{ForwardedHeader, Proxies};
    use crate::metrics::Registry;

    fn request(x_forwarded: &[(&str, &str)], trusted: Option<&str>) -> (HttpRequest, Registry) {
        let (registry, log) = (Registry::new(), slog::Logger::root(slog::Discard, slog::o!()));
        let observer = Observer::register(&registry, &log, &[]).unwrap();
        let trusted = trusted.map(|network| network.parse().unwrap());
        let observer = observer.with_proxies(Proxies::new(trusted, ForwardedHeader::default()));
        let mut request = TestRequest::default()
            .peer_addr("10.0.0.7:4000".parse().unwrap())
            .insert_header((HOST, "shop.example:8080"))
            .app_data(web::Data::new(observer));
        for line in x_forwarded {
            request = request.insert_header(*line);
        }
        (request.to_http_request(), registry)
    }

    #[test]
    fn headers_of_a_proxy_count_if_it_is_trusted() {
        let long = "a".repeat(60_000);
        let lines =
            [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-host", &*long), ("x-forwarded-proto", "gopher")];
        let (own, _) = request(&lines, None);
        let read = origin(&own);
        assert_eq!((read.scheme, &*read.host, read.port), ("http", "shop.example", Some(8080)));
        assert_eq!(client(&own).unwrap().to_string(), "10.0.0.7");
        let (behind, _) = request(&lines, Some("10.0.0.0/8"));
        let read = origin(&behind);
        assert_eq!((read.scheme, read.host.len(), read.port), ("http", 256, None));
        assert_eq!(client(&behind).unwrap().to_string(), "1.2.3.4");
    }

    #[test]
    fn an_unreadable_header_is_counted_once() {
        let (request, registry) = request(&[("x-forwarded-for", "nobody")], Some("10.0.0.7/32"));
        // Asked for before the span begins, by it, and by handlers.
        client(&request);
        origin(&request);
        assert_eq!(client(&request).unwrap().to_string(), "10.0.0.7");
        let mut page = Vec::new();
        prometheus::TextEncoder::new().encode(&registry.gather(), &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("http_forwarded_malformed_total 1"), "{page}");
    }
}
