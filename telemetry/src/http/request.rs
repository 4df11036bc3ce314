//! The parts of a request that are recorded: from a closed set, or bounded.

use actix_web::HttpRequest;

/// The name of the conventions for a method that they don't list.
pub(super) const OTHER_METHOD: &str = "_OTHER";

/// The methods of the conventions, and the one that stands for all others.
pub(super) const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", OTHER_METHOD];

/// Bytes of a text of the client: it may wait by the thousand while a receiver is away.
const MAX_TEXT: usize = 256;

/// The route template that was matched, for spans and labels: never the raw path.
pub(super) fn route(request: &HttpRequest) -> Option<String> {
    request.match_pattern()
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
pub(super) fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    let mut values = request.headers().get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// A header of the trace context: a list in several lines is joined (RFC 9110, 5.3), and a second `traceparent` makes
/// both meaningless.
pub(super) fn propagation_header(request: &HttpRequest, name: &str) -> Option<String> {
    if name == "traceparent" {
        return header(request, name).map(str::to_owned);
    }
    let lines: Option<Vec<_>> = request.headers().get_all(name).map(|line| line.to_str().ok()).collect();
    lines.filter(|lines| !lines.is_empty()).map(|lines| lines.join(","))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_text_is_bounded_between_two_characters() {
        assert_eq!(bounded(&"ä".repeat(60_000)).len(), MAX_TEXT);
        assert_eq!(bounded(&format!("x{}", "ä".repeat(60_000))).len(), MAX_TEXT - 1);
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
        let request = request.append_header(("traceparent", "01")).to_http_request();
        let read = |name| propagation_header(&request, name);
        assert_eq!(read("tracestate").as_deref(), Some("a=1,b=2"));
        assert_eq!(read("baggage").as_deref(), Some("x=1,y=2"));
        assert_eq!((read("traceparent"), read("absent")), (None, None));
    }
}
