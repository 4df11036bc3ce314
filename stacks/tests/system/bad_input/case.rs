//! A bad request and its expected answer.

use crate::harness::{Answer, request};

pub(super) const JSON: &str = "content-type: application/json\r\n";
pub(super) const MALFORMED: &str = "/problems/malformed-json";

/// A bad request and its expected answer.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) request: Vec<u8>,
    pub(super) expected: Expected,
    pub(super) pointers: Vec<&'static str>,
    /// True if the connection must close after the answer; otherwise it must accept another request.
    pub(super) closes: bool,
}

pub(super) enum Expected {
    /// A problem document of this type.
    Problem(u16, &'static str),
    /// An empty body: actix itself answers a request that is no HTTP, before the application sees it.
    Empty(u16),
    /// An ordinary answer: the request is unusual but valid.
    Harmless(u16),
}
pub(super) use Expected::{Empty, Harmless, Problem};

pub(super) fn case(name: &str, line: &str, headers: &str, body: &[u8], expected: Expected) -> Case {
    raw(name, request(line, headers, body), expected)
}

pub(super) fn raw(name: &str, request: impl Into<Vec<u8>>, expected: Expected) -> Case {
    let closes = matches!(expected, Empty(_));
    Case { name: name.to_owned(), request: request.into(), expected, pointers: Vec::new(), closes }
}

pub(super) fn order(name: &str, headers: &str, body: &[u8], expected: Expected) -> Case {
    case(name, "POST /create-order", headers, body, expected)
}

impl Case {
    pub(super) fn blames(self, pointers: &[&'static str]) -> Self {
        Self { pointers: pointers.to_vec(), ..self }
    }

    pub(super) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    pub(super) fn check(&self, answer: &Answer) {
        match self.expected {
            Problem(status, kind) => answer.assert_problem(status, kind, &self.name),
            Empty(status) => {
                let length = answer.header("content-length");
                assert_eq!((answer.status, length), (status, "0"), "{}: {answer:?}", self.name);
            }
            Harmless(status) => assert_eq!(answer.status, status, "{}: {answer:?}", self.name),
        }
        assert_eq!(answer.pointers(), self.pointers, "{}: {answer:?}", self.name);
    }
}
