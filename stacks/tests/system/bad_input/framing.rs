//! Requests that are no HTTP, or end too early.

use super::case::{Case, Empty, Harmless, JSON, Problem, raw};

const ORDER: &str = "POST /create-order HTTP/1.1\r\nhost: a\r\n";
const FRAMING: &str = "/problems/bad-framing";

pub(super) fn cases() -> Vec<Case> {
    [lengths(), chunks(), heads(), protocols()].into_iter().flatten().collect()
}

fn lengths() -> Vec<Case> {
    let length = |value: &str| {
        let request = format!("{ORDER}content-length: {value}\r\n\r\n12345");
        raw(&format!("a length of {value:?}"), request, Empty(400))
    };
    let both = format!("{ORDER}{JSON}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n");
    let short = format!("{ORDER}{JSON}content-length: 20\r\n\r\n{{}}");
    vec![
        length("5\r\ncontent-length: 5"),
        length("5\r\ncontent-length: 6"),
        length("5, 5"),
        length("+5"),
        length("-1"),
        length("0x10"),
        length("99999999999999999999"),
        length(""),
        raw("both length and chunks", both, Empty(400)),
        raw("a body shorter than its length", short, Problem(408, "/problems/request-timeout")).closing(),
    ]
}

fn chunks() -> Vec<Case> {
    let chunked = |chunks: &str| format!("{ORDER}{JSON}transfer-encoding: chunked\r\n\r\n{chunks}");
    let bad = |chunks: &str| raw(&format!("{chunks:?}"), chunked(chunks), Problem(400, FRAMING)).closing();
    let coding = |value: &str| {
        let request = format!("{ORDER}{JSON}transfer-encoding: {value}\r\n\r\n0\r\n\r\n");
        raw(&format!("transfer coding {value:?}"), request, Empty(400))
    };
    vec![
        bad("zz\r\n{}\r\n"),
        bad("-2\r\n{}\r\n0\r\n\r\n"),
        bad("0x2\r\n{}\r\n0\r\n\r\n"),
        bad("ffffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        bad("2\r\n{}XX0\r\n\r\n"),
        raw("chunks without end", chunked("2\r\n{}\r\n"), Problem(408, "/problems/request-timeout"))
            .closing(),
        coding("gzip, chunked"),
        coding("identity"),
        coding("xchunked"),
        coding("chunked\r\ntransfer-encoding: chunked"),
    ]
}

fn heads() -> Vec<Case> {
    let head =
        |name: &str, head: &str| raw(name, format!("GET /nothing HTTP/1.1\r\n{head}\r\n\r\n"), Empty(400));
    let many: String = (0..97).map(|index| format!("x-{index}: a\r\n")).collect();
    let nothing = || Problem(404, "/problems/not-found");
    vec![
        head("no host", "x: a"),
        head("two hosts", "host: a\r\nhost: b"),
        head("a blank before the colon", "host : a"),
        head("a folded header", "host: a\r\nx: a\r\n b"),
        head("a header that begins with a blank", " host: a"),
        head("no colon", "host: a\r\nnonsense"),
        head("no name", "host: a\r\n: b"),
        head("NUL", "host: a\r\nx: a\0b"),
        head("an escape sequence", "host: a\r\nx: a\u{1b}[31mb"),
        raw("carriage returns alone", "GET /nothing HTTP/1.1\rhost: a\r\r\n\r\n", Empty(400)),
        raw("97 headers", format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"), Empty(431)),
        raw("a head of 128 KiB", format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(131_060)), Empty(431)),
        raw("a path with a blank", "GET /orders/a b HTTP/1.1\r\nhost: a\r\n\r\n", Empty(400)),
        raw("a path that is not ASCII", "GET /orders/ü HTTP/1.1\r\nhost: a\r\n\r\n", Empty(400)),
        raw("a path without a slash", "GET orders/7 HTTP/1.1\r\nhost: a\r\n\r\n", Empty(400)),
        raw(
            "a path of 70 KB",
            format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(70_000)),
            Empty(400),
        ),
        raw("a method that is none", "G(T / HTTP/1.1\r\nhost: a\r\n\r\n", Empty(400)),
        // RFC 9112 allows a lone line feed as the end of a line, and the gateway has no host name of its own. No proxy
        // stands before it that could read the same bytes differently.
        raw("line feeds alone", "GET /nothing HTTP/1.1\nhost: a\n\n", nothing()),
        raw("a foreign host", "GET /nothing HTTP/1.1\r\nhost: example.org\r\n\r\n", nothing()),
    ]
}

fn protocols() -> Vec<Case> {
    let version =
        |version: &str| raw(version, format!("GET /nothing {version}\r\nhost: a\r\n\r\n"), Empty(400));
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let hello = [&[0x16, 3, 1, 0, 0xa5, 1, 0, 0, 0xa1, 3, 3][..], &[0x55; 40]].concat();
    let noise: Vec<u8> = (128..=255).chain(*b"\r\n\r\n").collect();
    vec![
        version("HTTP/0.9"),
        version("HTTP/1.2"),
        version("HTTP/2.0"),
        version("FTP/1.1"),
        raw("HTTP before it had versions", "GET /nothing\r\n\r\n", Empty(400)),
        raw("HTTP/1.0", "GET /openapi.json HTTP/1.0\r\n\r\n", Harmless(200)).closing(),
        raw("HTTP/2 at once", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Empty(400)),
        raw("TLS on a plain port", hello, Empty(400)),
        raw("noise", noise, Empty(400)),
        raw("an order as a web socket", format!("{ORDER}{JSON}{upgrade}content-length: 2\r\n\r\n{{}}"), {
            Problem(408, "/problems/request-timeout")
        })
        .closing(),
    ]
}
