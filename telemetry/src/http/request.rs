//! The parts of a request that are recorded: from a closed set, or bounded.

use std::borrow::Cow;
use std::net::IpAddr;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::HOST;

/// The name of the conventions for a method that they don't list.
pub(super) const OTHER_METHOD: &str = "_OTHER";

/// The methods of the conventions, and the one that stands for all others.
pub(super) const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", OTHER_METHOD];

/// Bytes of a text of the client: it may wait by the thousand while a receiver is away.
const MAX_TEXT: usize = 256;

/// The route template that was matched, for spans and labels: never the raw path.
pub(super) fn route(request: &ServiceRequest) -> Option<String> {
    request.request().match_pattern()
}

/// A method is input of the client: an unknown one must become neither a label nor the name of a span.
pub(super) fn known_method(method: &str) -> &'static str {
    METHODS.into_iter().find(|known| *known == method).unwrap_or(OTHER_METHOD)
}

/// The beginning of a text of the client.
pub(super) fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// True for probes and scrapes, which come every few seconds: their traces and logs would bury the rest.
pub fn is_operational(path: &str) -> bool {
    matches!(path, "/metrics" | "/livez" | "/readyz")
}

/// A header that occurs once.
pub(super) fn header<'a>(request: &'a ServiceRequest, name: &str) -> Option<&'a str> {
    let mut values = request.headers().get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// A header of the trace context: a list in several lines is joined (RFC 9110, 5.3), and a second `traceparent` makes
/// both meaningless.
pub(super) fn propagation_header(request: &ServiceRequest, name: &str) -> Option<String> {
    if name == "traceparent" {
        return header(request, name).map(str::to_owned);
    }
    let lines: Option<Vec<_>> = request.headers().get_all(name).map(|line| line.to_str().ok()).collect();
    lines.filter(|lines| !lines.is_empty()).map(|lines| lines.join(","))
}

/// The server as the client has named it, and the client's address.
pub(super) struct Origin<'a> {
    pub(super) scheme: &'static str,
    pub(super) host: Cow<'a, str>,
    pub(super) port: Option<i64>,
    pub(super) client: Option<String>,
}

/// Reads the origin of a request; the headers of a proxy are believed if it is one of `trusted`.
pub(super) fn origin<'a>(request: &'a ServiceRequest, trusted: &[IpAddr]) -> Origin<'a> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let (scheme, authority, client) = if peer.is_some_and(|peer| trusted.contains(&peer)) {
        let connection = request.connection_info();
        let client = connection.realip_remote_addr().map(|client| bounded(client).to_owned());
        (known_scheme(connection.scheme()), Cow::Owned(connection.host().to_owned()), client)
    } else {
        let host = header(request, HOST.as_str());
        let authority = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
        let is_secure = request.app_config().secure();
        let authority = authority.unwrap_or_else(|| request.app_config().host());
        (if is_secure { "https" } else { "http" }, authority.into(), peer.map(|peer| peer.to_string()))
    };
    let (host, port) = split(&authority);
    let (host, port) = (bounded(host).to_owned().into(), port);
    Origin { scheme, host, port, client }
}

fn known_scheme(scheme: &str) -> &'static str {
    if scheme.eq_ignore_ascii_case("https") { "https" } else { "http" }
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

    use super::*;

    const PEER: &str = "10.0.0.7:4000";

    fn forwarded(host: &str) -> ServiceRequest {
        TestRequest::default()
            .peer_addr(PEER.parse().unwrap())
            .insert_header(("host", "shop.example:8080"))
            .insert_header(("x-forwarded-host", host.to_owned()))
            .insert_header(("x-forwarded-proto", "gopher".repeat(1000)))
            .insert_header(("x-forwarded-for", "1.2.3.4"))
            .to_srv_request()
    }

    #[test]
    fn headers_of_a_proxy_count_if_it_is_trusted() {
        let request = forwarded("proxy.example");
        let own = origin(&request, &[]);
        assert_eq!((own.scheme, &*own.host, own.port), ("http", "shop.example", Some(8080)));
        assert_eq!(own.client.as_deref(), Some("10.0.0.7"));
        let trusted = origin(&request, &["10.0.0.7".parse().unwrap()]);
        assert_eq!((trusted.scheme, &*trusted.host, trusted.port), ("http", "proxy.example", None));
        assert_eq!(trusted.client.as_deref(), Some("1.2.3.4"));
    }

    #[test]
    fn a_host_is_bounded() {
        let long = "a".repeat(60_000);
        let host = |request: &ServiceRequest, trusted: &[IpAddr]| origin(request, trusted).host.len();
        assert_eq!(host(&forwarded(&long), &["10.0.0.7".parse().unwrap()]), MAX_TEXT);
        let request = TestRequest::default().insert_header(("host", long)).to_srv_request();
        assert_eq!(host(&request, &[]), MAX_TEXT);
    }

    #[test]
    fn lines_of_a_list_are_joined_and_a_second_traceparent_voids() {
        let mut request = TestRequest::default();
        for (name, value) in [
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
            ("baggage", "x=1"),
            ("baggage", "y=2"),
            ("traceparent", "00"),
        ] {
            request = request.append_header((name, value));
        }
        let request = request.append_header(("traceparent", "01")).to_srv_request();
        let read = |name| propagation_header(&request, name);
        assert_eq!(read("tracestate").as_deref(), Some("a=1,b=2"));
        assert_eq!(read("baggage").as_deref(), Some("x=1,y=2"));
        assert_eq!((read("traceparent"), read("absent")), (None, None));
    }
}
