//! `Flush`: a promise about everything before it, not a hint.

use telemetry::slog;

use crate::observed::observed;
use crate::support::lines::saying;

#[actix_rt::test]
async fn a_flush_delivers_every_span_and_line_that_ended_before_it() {
    for round in 0..5 {
        let name = format!("flushed {round}");
        for number in 0..700 {
            let _span = tracing::info_span!("flushed", otel.name = name, number).entered();
            slog::info!(observed().bench.log, "{}", name);
        }
        observed().bench.flush().await;
        // No polling: what is not there now has broken the promise.
        assert_eq!(observed().sink.named(&name).len(), 700);
        let lines = observed().bench.lines_so_far();
        assert_eq!(saying(&lines, &name).len(), 700);
    }
}

#[actix_rt::test]
async fn the_start_of_a_service_leaves_no_span_behind() {
    observed().bench.flush().await;
    assert!(observed().sink.named("propagation self-test").is_empty());
}
