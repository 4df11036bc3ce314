//! What a request may ask for besides an order: an answer in JSON, and nothing by query. Whoever asks for more is
//! told so before anything is done; to ignore `?dryRun=true` would cost somebody money.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{Accept, Header, Quality};
use actix_web::{FromRequest, HttpRequest};
use service::problem::Problem;

/// An extractor: the request asks for nothing that the gateway does not have.
pub(crate) struct Plain;

impl FromRequest for Plain {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(check(request).map(|()| Self))
    }
}

fn check(request: &HttpRequest) -> Result<(), Problem> {
    if !accepts_json(request) {
        let detail = "The answer is JSON: accept application/json, or send no Accept header.";
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", "Not acceptable", detail));
    }
    if !request.query_string().is_empty() {
        let detail = "This path takes no query parameters.";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "query-invalid", "Query not valid", detail));
    }
    Ok(())
}

/// Ranges that can't be read count as absent, and so does an Accept header without any.
fn accepts_json(request: &HttpRequest) -> bool {
    let ranges = Accept::parse(request).map(|accept| accept.0).unwrap_or_default();
    let is_json = |range: &str| matches!(range, "*/*" | "application/*" | "application/json");
    ranges.is_empty()
        || ranges.iter().any(|range| range.quality > Quality::ZERO && is_json(range.item.essence_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn who_takes_json_is_served() {
        for accept in
            ["*/*", "application/json", "text/html, application/*;q=0.1", "APPLICATION/JSON", "", "json"]
        {
            let request = TestRequest::default().insert_header(("accept", accept)).to_http_request();
            assert!(accepts_json(&request), "{accept}");
        }
        assert!(accepts_json(&TestRequest::default().to_http_request()));
    }

    #[test]
    fn who_takes_something_else_only_is_not() {
        for accept in ["text/html", "application/xml, text/*", "application/json;q=0"] {
            let request = TestRequest::default().insert_header(("accept", accept)).to_http_request();
            assert!(!accepts_json(&request), "{accept}");
        }
    }
}
