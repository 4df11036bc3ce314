//! Events of libraries, by `tracing` and by `log`: once each, in the shape of every other line.

use testkit::otlp::hex;

use crate::observed::{Request, observed};
use crate::support::lines::{of_trace, saying};

#[actix_rt::test]
async fn events_of_libraries_are_lines_once_with_target_and_trace() {
    let mut request = Request::new("GET", "/libraries");
    request.send().await;
    let span = request.server_span().await;
    let lines = observed().bench.lines().await;
    for (message, logger, level) in [
        ("a new library speaks", "new_library", "info"),
        ("an old library speaks", "old_library", "warn"),
        ("a library forges", "forging_library", "error"),
    ] {
        let found = saying(&lines, message);
        assert_eq!(found.len(), 1, "{message}");
        assert_eq!(found[0].get("log.logger"), logger);
        assert_eq!(found[0].get("log.level"), level);
        assert_eq!(found[0].get("trace.id"), &request.trace);
        assert_eq!(found[0].get("span.id"), &hex(&span.span_id));
    }
    // Besides them only the line of the request itself: nothing came by both ways.
    assert_eq!(of_trace(&lines, &request.trace).len(), 4);
    let spoken = saying(&lines, "a new library speaks");
    assert_eq!((spoken[0].get("answer"), spoken[0].get("what")), (&"42".into(), &"display".into()));
    let old = saying(&lines, "an old library speaks");
    assert!(old[0].keys().iter().all(|key| !matches!(*key, "log.target" | "log.file" | "log.line")));

    // Reading the lines has failed already if one of them had a key twice; this asks which value is left.
    let forged = saying(&lines, "a library forges");
    assert_eq!(forged[0].get("service.name"), "test-service");
    assert_eq!(forged[0].get("service.version"), "1.2.3");
    assert_eq!(forged[0].get("service.environment"), "local");
}
