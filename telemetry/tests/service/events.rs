//! Events of libraries, by `tracing` and by `log`: once each, in the shape of every other line.

use actix_web::HttpResponse;
use testkit::otlp::hex;

use crate::support::lines::{of_trace, saying};
use crate::{Request, observed};

pub(crate) async fn libraries_speak() -> HttpResponse {
    tracing::info!(target: "new_library", answer = 42, what = %"display", "a new library speaks");
    log::warn!(target: "old_library", "an old library speaks");
    tracing::error!(
        target: "forging_library",
        {
            "@timestamp" = "never",
            ecs.version = "0",
            log.level = "calm",
            log.logger = "nobody",
            service.environment = "moon",
            service.name = "another-service",
            service.version = "0.0.0",
            span.id = "0000",
            trace.id = "1111",
        },
        "a library forges"
    );
    quiet::whisper();
    HttpResponse::NoContent().finish()
}

mod quiet {
    pub(super) fn whisper() {
        tracing::warn!("too quiet to be heard");
        log::warn!("too quiet to be heard");
    }
}

#[actix_rt::test]
async fn events_of_libraries_come_out_once_with_their_target_and_the_trace() {
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
