//! Requests that can be answered as they ask: in JSON, and without a query. Others are refused before anything is done:
//! an ignored `?dryRun=true` would charge the customer.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{Accept, Header, Quality};
use actix_web::{FromRequest, HttpRequest};
use service::problem::Problem;

/// An extractor: the request can be answered as it asks.
pub(crate) struct Negotiated;

impl FromRequest for Negotiated {
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

/// Ranges that can't be parsed count as absent, and so does an Accept header without any.
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
    fn a_request_that_accepts_json_is_served() {
        for accept in
            ["*/*", "application/json", "text/html, application/*;q=0.1", "APPLICATION/JSON", "", "json"]
        {
            let request = TestRequest::default().insert_header(("accept", accept)).to_http_request();
            assert!(accepts_json(&request), "{accept}");
        }
        assert!(accepts_json(&TestRequest::default().to_http_request()));
    }

    #[test]
    fn a_request_that_accepts_no_json_is_refused() {
        for accept in ["text/html", "application/xml, text/*", "application/json;q=0"] {
            let request = TestRequest::default().insert_header(("accept", accept)).to_http_request();
            assert!(!accepts_json(&request), "{accept}");
        }
    }
}
