//! A complete HTTP answer.

use reqwest::{Response, header::HeaderMap};
use serde_json::Value;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Null if the answer is not JSON.
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        Self { status, headers, body: serde_json::from_slice(&body).unwrap_or_default() }
    }

    /// A header, empty if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A string in the body.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.body[key].as_str().unwrap_or_else(|| panic!("there is no text `{key}` in {self:?}"))
    }

    /// The trace that `traceresponse` names.
    pub(crate) fn trace(&self) -> &str {
        let header = self.header("traceresponse");
        let parts: Vec<&str> = header.split('-').collect();
        let hex = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
        match parts.as_slice() {
            ["00", trace, span, "01"] if hex(trace, 32) && hex(span, 16) => trace,
            _ => panic!("`{header}` is no traceresponse, in {self:?}"),
        }
    }

    /// The fields of the body that the problem document names.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map_or(&[][..], Vec::as_slice);
        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect()
    }

    /// Checks the members that every problem document has.
    pub(crate) fn assert_problem(&self, status: u16, kind: &str, case: &str) {
        assert_eq!((self.status, self.body["type"].as_str()), (status, Some(kind)), "{case}: {self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{case}");
        assert_eq!(self.header("cache-control"), "no-store", "{case}");
        assert_eq!(self.body["status"], status, "{case}: {self:?}");
        assert_eq!(self.text("traceId"), self.trace(), "{case}: {self:?}");
        assert!(!self.text("title").is_empty() && !self.text("detail").is_empty(), "{case}: {self:?}");
    }
}
