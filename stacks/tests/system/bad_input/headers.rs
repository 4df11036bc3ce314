//! Headers: content type and encoding, Accept, idempotency keys, trace context.

use super::case::{Case, Harmless, JSON, MALFORMED, Problem, case, order, raw};
use crate::harness::books;

const MEDIA_TYPE: Problem415 = (415, "/problems/unsupported-media-type");
const ENCODING: Problem415 = (415, "/problems/unsupported-encoding");
type Problem415 = (u16, &'static str);

pub(super) fn cases() -> Vec<Case> {
    [content(), keys(), answers(), harmless()].into_iter().flatten().collect()
}

fn content() -> Vec<Case> {
    let valid = books("ada@example.org").to_string();
    let valid = valid.as_bytes();
    let header = |name: &str, headers: String, (status, kind): Problem415| {
        order(name, &headers, valid, Problem(status, kind))
    };
    let content_type =
        |name: &str, value: &str| header(name, format!("content-type: {value}\r\n"), MEDIA_TYPE);
    let encoding = |value: &str| header(value, format!("{JSON}content-encoding: {value}\r\n"), ENCODING);
    vec![
        header("no content type", String::new(), MEDIA_TYPE),
        header("two types", JSON.repeat(2), MEDIA_TYPE),
        content_type("an empty type", ""),
        content_type("a form", "application/x-www-form-urlencoded"),
        content_type("a form with parts", "multipart/form-data; boundary=x"),
        content_type("text", "text/plain"),
        content_type("XML", "application/xml"),
        content_type("another kind of JSON", "application/problem+json"),
        content_type("a type that is none", "json"),
        content_type("a type that begins like ours", "application/jsonp"),
        content_type("Latin 1", "application/json; charset=iso-8859-1"),
        content_type("UTF-16", "application/json; charset=\"utf-16\""),
        encoding("gzip"),
        encoding("gzip, identity"),
        encoding("br"),
        encoding("nonsense"),
    ]
}

fn keys() -> Vec<Case> {
    let key = |name: &str, value: &str| {
        let headers = format!("idempotency-key: {value}\r\n");
        order(name, &headers, b"", Problem(400, "/problems/idempotency-key-invalid"))
    };
    vec![
        key("an empty key", ""),
        key("an empty key in quotes", "\"\""),
        key("a key with a blank", "a b"),
        key("a key with a tab", "a\tb"),
        key("a key with half a quote", "\"a"),
        key("a key that is not ASCII", "schlüssel"),
        key("a long key", &"k".repeat(256)),
        key("two keys", "a\r\nidempotency-key: b"),
        key("the same key twice", "a\r\nidempotency-key: a"),
    ]
}

fn answers() -> Vec<Case> {
    let accept = |value: &str| {
        let headers = format!("accept: {value}\r\n");
        order(&format!("accept {value}"), &headers, b"", Problem(406, "/problems/not-acceptable"))
    };
    vec![
        accept("text/html"),
        accept("application/xml, text/*;q=0.5"),
        accept("application/json;q=0"),
        case(
            "accept for an order",
            "GET /orders/7",
            "accept: image/png\r\n",
            b"",
            Problem(406, "/problems/not-acceptable"),
        ),
        Case {
            closes: true,
            ..order(
                "an expectation of something else",
                "expect: tea\r\n",
                b"",
                Problem(417, "/problems/expectation-failed"),
            )
        },
    ]
}

/// Requests that are refused for their body; their headers must not change the answer.
fn harmless() -> Vec<Case> {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let baggage = (0..200).map(|index| format!("k{index}=v")).collect::<Vec<_>>().join(",");
    let tracestate = format!("traceparent: {trace}\r\ntracestate: a={}\r\n", "b".repeat(10 * 1024));
    let headers = [
        ("no trace", "traceparent: nonsense\r\n".to_owned()),
        ("a trace of zeros", format!("traceparent: 00-{}-{}-01\r\n", "0".repeat(32), "0".repeat(16))),
        ("a trace of no version", format!("traceparent: ff{}\r\n", &trace[2..])),
        ("a trace in upper case", format!("traceparent: {}\r\n", trace.to_uppercase())),
        ("half a trace", format!("traceparent: {}\r\n", &trace[..20])),
        ("two traces", format!("traceparent: {trace}\r\n").repeat(2)),
        ("10 KiB of trace state", tracestate),
        ("200 pieces of baggage", format!("baggage: {baggage}\r\n")),
        (
            "forwarding headers",
            "x-forwarded-for: 1.2.3.4\r\nx-forwarded-host: a\r\nforwarded: for=b\r\n".to_owned(),
        ),
        ("a token that is not needed", "authorization: Bearer nonsense\r\n".to_owned()),
        ("a foreign origin", "origin: https://example.org\r\n".to_owned()),
        ("an agent with markup", "user-agent: ${jndi:ldap://example.org} \u{202e} '; --\r\n".to_owned()),
        ("Accept with a bad weight", "accept: */*;q=many\r\n".to_owned()),
    ];
    let refused = |(name, headers): (&str, String)| {
        order(name, &format!("{JSON}{headers}"), b"{", Problem(400, MALFORMED))
    };
    let charset = |name: &str| {
        let headers = format!("content-type: application/json; charset={name}\r\n");
        order(&format!("charset {name}"), &headers, b"{", Problem(400, MALFORMED))
    };
    let charsets = ["utf-8", "utf8", "\"US-ASCII\""].map(charset);
    let preflight = "OPTIONS /create-order HTTP/1.1\r\nhost: a\r\norigin: https://example.org\r\n\
                     access-control-request-method: POST\r\n\r\n";
    headers
        .map(refused)
        .into_iter()
        .chain(charsets)
        .chain([raw("a preflight", preflight, Harmless(204))])
        .collect()
}
