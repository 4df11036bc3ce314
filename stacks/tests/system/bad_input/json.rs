//! Bodies that are no JSON, or too large.

use super::case::{Case, JSON, MALFORMED, Problem, order, raw};
use crate::harness::books;

const TOO_LARGE: &str = "/problems/too-large";

pub(super) fn cases() -> Vec<Case> {
    let valid = books("ada@example.org").to_string();
    let body = valid.as_bytes();
    let bom = [b"\xef\xbb\xbf", body].concat();
    let with_sku = |sku: &[u8]| {
        let (before, after) = valid.split_once("BOOK-1").unwrap();
        [before.as_bytes(), sku, after.as_bytes()].concat()
    };
    let large = format!("{valid}{}", " ".repeat(64 * 1024));
    let declared = format!("POST /create-order HTTP/1.1\r\nhost: a\r\n{JSON}content-length: 65537\r\n\r\n");
    let chunks = format!("2000\r\n{}\r\n", " ".repeat(8 * 1024)).repeat(9);
    let chunked =
        format!("POST /create-order HTTP/1.1\r\nhost: a\r\n{JSON}transfer-encoding: chunked\r\n\r\n");
    let chunked = format!("{chunked}{chunks}0\r\n\r\n");
    let malformed = |name: &str, body: &[u8]| order(name, JSON, body, Problem(400, MALFORMED));
    vec![
        malformed("no JSON", b"order=1"),
        malformed("truncated", &body[..body.len() - 1]),
        malformed("a name twice", valid.replacen('{', "{\"currency\":\"EUR\",", 1).as_bytes()),
        malformed("a name twice, escaped", valid.replacen('{', "{\"\\u0063urrency\":\"EUR\",", 1).as_bytes()),
        malformed("two documents", valid.repeat(2).as_bytes()),
        malformed("a comment", format!("{valid} // now").as_bytes()),
        malformed("a trailing comma", valid.replacen(']', ",]", 1).as_bytes()),
        malformed("single quotes", valid.replace('"', "'").as_bytes()),
        malformed("byte order mark", &bom),
        malformed("UTF-16", &valid.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
        malformed("not UTF-8", &with_sku(b"\xff")),
        malformed("overlong UTF-8", &with_sku(b"\xc0\xaf")),
        malformed("a lone surrogate", &with_sku(b"\\ud800")),
        malformed("a raw line feed in a string", &with_sku(b"A\nB")),
        malformed("a raw NUL in a string", &with_sku(b"A\0B")),
        malformed("blanks only", b"  \n"),
        malformed("NaN", valid.replacen(":2,", ":NaN,", 1).as_bytes()),
        malformed("Infinity", valid.replacen(":2,", ":-Infinity,", 1).as_bytes()),
        malformed("a number without end", valid.replacen(":2,", ":1e999,", 1).as_bytes()),
        malformed("a leading zero", valid.replacen(":2,", ":02,", 1).as_bytes()),
        malformed("nested without end", "[".repeat(60_000).as_bytes()),
        malformed("objects without end", "{\"a\":".repeat(12_000).as_bytes()),
        order("over 64 KiB", JSON, large.as_bytes(), Problem(413, TOO_LARGE)).closing(),
        raw("over 64 KiB, before it is sent", declared, Problem(413, TOO_LARGE)).closing(),
        raw("over 64 KiB in chunks", chunked, Problem(413, TOO_LARGE)).closing(),
    ]
}
