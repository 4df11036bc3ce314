//! Which requests are answered: those of this machine's own browser and of the console's own page, and no others.
//!
//! A foreign page in the same browser can send requests here. Its `Origin` differs, and where its name was rebound to this
//! address, so does its `Host`. Cookies are no protection against pages on other ports: to a browser they are the same site.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::session::Session;

/// The page's own files, and no script or style in the HTML; texts never become markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
/// Below it, requests need the cookie.
pub(super) const API: &str = "/api/";
/// The exception: where the token is exchanged.
pub(super) const SESSION: &str = "/api/session";

/// Who may ask.
pub(super) struct Guard {
    pub(super) session: Session,
    pub(super) listen: SocketAddr,
}

/// The middleware.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let refused = guard
        .refusal(request.method(), path, request.headers())
        .map(|reason| (StatusCode::FORBIDDEN, format!("refused: {reason}\n")).into_response())
        .or_else(|| {
            let needs_cookie = path.starts_with(API) && path != SESSION;
            (needs_cookie && !guard.session.admits(request.headers())).then(|| {
                let text = "refused: open the link that `make console` prints\n";
                (StatusCode::UNAUTHORIZED, text).into_response()
            })
        });
    let mut response = match refused {
        Some(response) => response,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

impl Guard {
    /// Why a request is refused before its cookie counts; none if it may be answered.
    fn refusal(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<&'static str> {
        let Some(host) = only(headers, &HOST) else { return Some("there must be one Host") };
        if !self.is_ours(host) {
            return Some("this Host is not the console's: use localhost or the address");
        }
        let origin = match headers.contains_key(ORIGIN) {
            true => Some(only(headers, &ORIGIN).unwrap_or("several")),
            false => None,
        };
        if origin.is_some_and(|origin| !is_origin_of(origin, host)) {
            return Some("another page has sent this request");
        }
        if origin.is_none() && !method.is_safe() {
            return Some("the request has no Origin");
        }
        let fetched = |name: &'static str| only(headers, &HeaderName::from_static(name));
        let is_visit = path == "/" && method == Method::GET && fetched("sec-fetch-mode") == Some("navigate");
        match fetched("sec-fetch-site") {
            None | Some("same-origin" | "none") => None,
            Some(_) if is_visit => None,
            Some(_) => Some("another page has sent this request"),
        }
    }

    /// True for `localhost` and for addresses: a rebound name is neither. On loopback, only for loopback addresses.
    fn is_ours(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        match bare.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback() || !self.listen.ip().is_loopback(),
            Err(_) => false,
        }
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn is_origin_of(origin: &str, host: &str) -> bool {
    // A proxy in front may speak TLS.
    ["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme) == Some(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(listen: &str) -> Guard {
        Guard { session: Session::new("token", 3030), listen: listen.parse().unwrap() }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn is_answered(method: &Method, pairs: &[(&'static str, &str)]) -> bool {
        guard("127.0.0.1:3030").refusal(method, "/api/orders", &headers(pairs)).is_none()
    }

    #[test]
    fn only_localhost_and_addresses_are_hosts() {
        for host in ["localhost:3030", "127.0.0.1:3030", "[::1]:3030", "LOCALHOST:8080", "localhost"] {
            assert!(is_answered(&Method::GET, &[("host", host)]), "{host}");
        }
        for host in
            ["evil.example:3030", "localhost.evil.example", "192.0.2.7:3030", "", "127.0.0.1.evil.example"]
        {
            assert!(!is_answered(&Method::GET, &[("host", host)]), "{host}");
        }
        assert!(!is_answered(&Method::GET, &[]));
        assert!(!is_answered(&Method::GET, &[("host", "localhost:3030"), ("host", "evil.example")]));
        let open = guard("0.0.0.0:3030");
        assert!(open.refusal(&Method::GET, "/", &headers(&[("host", "192.0.2.7:3030")])).is_none());
        assert!(open.refusal(&Method::GET, "/", &headers(&[("host", "evil.example:3030")])).is_some());
    }

    #[test]
    fn a_foreign_origin_is_refused_and_a_change_needs_ours() {
        let host = ("host", "localhost:3030");
        let post = |origin: &[(&'static str, &str)]| is_answered(&Method::POST, &[&[host], origin].concat());
        assert!(post(&[("origin", "http://localhost:3030")]));
        for origin in ["http://localhost:3000", "http://127.0.0.1:3030", "https://evil.example", "null", ""] {
            assert!(!post(&[("origin", origin)]), "{origin}");
        }
        assert!(!post(&[]), "without Origin");
        let twice = [("origin", "http://localhost:3030"), ("origin", "http://evil.example")];
        assert!(!post(&twice));
    }

    #[test]
    fn a_foreign_page_may_lead_here_but_not_read() {
        let foreign =
            [("host", "localhost:3030"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        let guard = guard("127.0.0.1:3030");
        assert!(guard.refusal(&Method::GET, "/", &headers(&foreign)).is_none());
        assert!(guard.refusal(&Method::GET, "/api/events", &headers(&foreign)).is_some());
        assert!(!is_answered(&Method::GET, &[("host", "localhost:3030"), ("sec-fetch-site", "same-site")]));
        assert!(is_answered(&Method::GET, &[("host", "localhost:3030"), ("sec-fetch-site", "same-origin")]));
    }
}
