//! The log level can be changed while the service runs, and returns by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod support;

use std::time::Duration;

use support::Bench;
use support::lines::saying;
use telemetry::{GetLogLevel, SetLogLevel, slog};
use testkit::wait::eventually;

mod noisy {
    pub(super) fn speak(log: &telemetry::slog::Logger, message: &'static str) {
        telemetry::slog::debug!(log, "{}", message);
        tracing::debug!("{message}");
        log::debug!("{message}");
    }
}

#[actix_rt::test]
async fn a_level_is_changed_for_a_while_and_returns_by_itself() {
    let bench = Bench::start(&["--otel-traces-exporter=none", "--log-level=info"]);
    let set = async |levels: &str, duration| {
        let set = SetLogLevel { levels: levels.to_owned(), duration };
        bench.observability.send(set).await.unwrap()
    };
    let gauge = "telemetry_log_level_changed";
    noisy::speak(&bench.log, "before");
    assert_eq!(bench.metric(gauge).await, 0);

    let changed = set("log_level::noisy=debug", Duration::from_millis(1500)).await.unwrap();
    assert!(changed.levels.contains("log_level::noisy=debug") && changed.remaining.is_some(), "{changed:?}");
    assert_eq!(bench.metric(gauge).await, 1);
    noisy::speak(&bench.log, "meanwhile");
    slog::debug!(bench.log, "another module");
    slog::info!(bench.log, "another module at info");

    eventually("the level to return", async || {
        bench.observability.send(GetLogLevel).await.unwrap().remaining.is_none().then_some(())
    })
    .await;
    noisy::speak(&bench.log, "after");
    assert_eq!(bench.metric(gauge).await, 0);
    let lines = bench.lines().await;
    let number = |message| saying(&lines, message).len();
    assert_eq!([number("before"), number("meanwhile"), number("after")], [0, 3, 0]);
    assert_eq!([number("another module"), number("another module at info")], [0, 1]);
    assert_eq!([number("log level changed"), number("log level restored")], [1, 1]);

    for (levels, duration) in [("loud", 1), ("info,payment", 1), ("debug", 100_000)] {
        assert!(set(levels, Duration::from_secs(duration)).await.is_err(), "{levels} for {duration} s");
    }
}
