//! The log file: what a line looks like, which lines are written, and that none is torn or lost.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod support;

use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::thread;

use support::Bench;
use support::lines::{Line, saying};
use telemetry::slog::{self, Logger};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let levels = "--log-level=info,log_file::chatty=trace,log_file::shy=error";
        Bench::start(&["--otel-traces-exporter=none", levels])
    })
}

#[actix_rt::test]
async fn a_line_is_one_object_with_the_names_of_ecs() {
    let before = OffsetDateTime::now_utc();
    let log = bench().log.new(slog::o!("order.id" => "o-1"));
    slog::warn!(log, "a \"quoted\"\nmessage, {}", "formatted"; "count" => 3, "ratio" => 0.5, "none" => ());
    let lines = bench().lines().await;
    let found = saying(&lines, "a \"quoted\"\nmessage, formatted");
    assert_eq!(found.len(), 1);
    let line = found[0];
    assert_eq!(line.keys()[..3], ["@timestamp", "log.level", "message"]);
    for (key, value) in [
        ("log.level", "warn"),
        ("log.logger", "log_file"),
        ("service.name", "test-service"),
        ("service.version", "1.2.3"),
        ("service.environment", "local"),
        ("order.id", "o-1"),
    ] {
        assert_eq!(line.get(key), value, "{key}");
    }
    assert_eq!((line.get("count"), line.get("ratio")), (&3.into(), &0.5.into()));
    assert!(line.get("ecs.version").is_string());
    let written = OffsetDateTime::parse(line.get("@timestamp").as_str().unwrap(), &Rfc3339).unwrap();
    assert!(before <= written && written <= OffsetDateTime::now_utc());
}

mod chatty {
    pub(super) fn speak(log: &telemetry::slog::Logger) {
        super::speak_at_all_levels!(log, "chatty");
    }
}

mod shy {
    pub(super) fn speak(log: &telemetry::slog::Logger) {
        super::speak_at_all_levels!(log, "shy");
    }
}

macro_rules! speak_at_all_levels {
    ($log:expr, $who:literal) => {
        telemetry::slog::trace!($log, $who);
        telemetry::slog::debug!($log, $who);
        telemetry::slog::info!($log, $who);
        telemetry::slog::warn!($log, $who);
        telemetry::slog::error!($log, $who);
        telemetry::slog::crit!($log, $who);
        tracing::debug!("{} tracing", $who);
        tracing::error!("{} tracing", $who);
        log::debug!("{} log", $who);
        log::error!("{} log", $who);
    };
}
use speak_at_all_levels;

fn levels(lines: &[Line], message: &str) -> Vec<String> {
    saying(lines, message).iter().map(|line| line.get("log.level").as_str().unwrap().to_owned()).collect()
}

#[actix_rt::test]
async fn log_level_holds_for_all_and_for_each_module() {
    let log = &bench().log;
    speak_at_all_levels!(log, "root");
    chatty::speak(log);
    shy::speak(log);
    let lines = bench().lines().await;
    assert_eq!(levels(&lines, "root"), ["info", "warn", "error", "critical"]);
    assert_eq!(levels(&lines, "chatty"), ["trace", "debug", "info", "warn", "error", "critical"]);
    assert_eq!(levels(&lines, "shy"), ["error", "critical"]);
    for way in ["tracing", "log"] {
        assert_eq!(levels(&lines, &format!("root {way}")), ["error"]);
        assert_eq!(levels(&lines, &format!("chatty {way}")), ["debug", "error"]);
        assert_eq!(levels(&lines, &format!("shy {way}")), ["error"]);
    }
}

/// A value that logs while it is serialised.
struct Talkative;

impl slog::Value for Talkative {
    fn serialize(&self, _: &slog::Record<'_>, key: slog::Key, to: &mut dyn slog::Serializer) -> slog::Result {
        slog::info!(bench().log, "said within");
        to.emit_str(key, "talkative")
    }
}

#[actix_rt::test]
async fn a_value_may_log_while_it_is_formatted() {
    slog::info!(bench().log, "said around"; "value" => Talkative, "after" => 1);
    let lines = bench().lines().await;
    let around = saying(&lines, "said around");
    assert_eq!(around.len(), 1);
    assert_eq!((around[0].get("value"), around[0].get("after")), (&"talkative".into(), &1.into()));
    assert_eq!(saying(&lines, "said within").len(), 1);
}

/// A text that logs, with a field that has to be formatted, while it is formatted.
struct Chatty;

impl fmt::Display for Chatty {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("chat")?;
        slog::info!(bench().log, "chatted within"; "value" => %7);
        to.write_str("ty")
    }
}

#[actix_rt::test]
async fn a_text_may_log_texts_while_it_is_formatted() {
    slog::info!(bench().log, "chatted around {}", Chatty; "value" => %Chatty);
    let lines = bench().lines().await;
    assert_eq!(saying(&lines, "chatted around chatty")[0].get("value"), "chatty");
    let within = saying(&lines, "chatted within");
    assert!(within.len() >= 2 && within.iter().all(|line| line.get("value") == "7"), "{within:?}");
}

/// A text that fails midway.
struct Failing;

impl fmt::Display for Failing {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("so far")?;
        Err(fmt::Error)
    }
}

#[actix_rt::test]
async fn a_text_that_breaks_off_is_in_its_own_line_alone() {
    let log = &bench().log;
    slog::info!(log, "broke off: {}", Failing; "value" => %Failing);
    slog::info!(log, "after what broke off"; "value" => %"whole");
    let lines = bench().lines().await;
    assert_eq!(saying(&lines, "broke off: so far")[0].get("value"), "so far");
    assert_eq!(saying(&lines, "after what broke off")[0].get("value"), "whole");
}

#[actix_rt::test]
async fn every_character_can_be_written() {
    let all: String =
        (0..0x80).chain([0x85, 0x2028, 0x2029, 0xfeff, 0x1_f4a5]).filter_map(char::from_u32).collect();
    slog::info!(bench().log, "{}", all; "value" => &all);
    let lines = bench().lines().await;
    let line = saying(&lines, &all)[0];
    assert_eq!(line.get("value"), all.as_str());
}

#[actix_rt::test]
async fn eight_threads_lose_no_line_and_tear_none() {
    // All of them fit the queue of 8192, so that even a writer that got no turn could lose none.
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let log = bench().log.new(slog::o!("thread" => number));
            thread::spawn(move || {
                for line in 0..1000 {
                    slog::info!(log, "parallel"; "line" => line, "filler" => "x".repeat(line % 300));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let lines = bench().lines().await;
    let number = |line: &Line, key| line.get(key).as_u64().unwrap();
    let parallel = saying(&lines, "parallel");
    assert_eq!(parallel.len(), 8000);
    let seen: HashSet<_> = parallel.iter().map(|l| (number(l, "thread"), number(l, "line"))).collect();
    assert_eq!(seen.len(), 8000);
    for thread in 0..8 {
        let own = parallel.iter().filter(|line| number(line, "thread") == thread);
        assert!(own.map(|line| number(line, "line")).is_sorted(), "thread {thread} is out of order");
    }
    for line in &parallel {
        assert_eq!(line.get("filler").as_str().unwrap().len() as u64, number(line, "line") % 300);
    }
    let dropped = r#"telemetry_log_lines_dropped_total{destination="file",reason="queue_full"}"#;
    assert_eq!(bench().metric(dropped).await, 0);
    assert!(bench().metric(r#"telemetry_log_lines_total{destination="file"}"#).await >= 8000);
}

/// A value that gives up in the middle of its line.
struct Broken;

impl slog::Value for Broken {
    fn serialize(&self, _: &slog::Record<'_>, _: slog::Key, _: &mut dyn slog::Serializer) -> slog::Result {
        Err(slog::Error::Other)
    }
}

struct Explosive;

impl fmt::Display for Explosive {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("the beginning of another line")?;
        panic!("no text for this")
    }
}

#[actix_rt::test]
async fn a_value_that_cannot_be_written_costs_its_own_line() {
    let log: &Logger = &bench().log;
    slog::info!(log, "broken"; "value" => Broken);
    slog::info!(log, "after the broken one");
    let exploded = catch_unwind(AssertUnwindSafe(|| slog::info!(log, "explosive"; "value" => %Explosive)));
    assert!(exploded.is_err());
    slog::info!(log, "after the explosive one"; "value" => %"its own");
    let lines = bench().lines().await;
    for message in ["after the broken one", "after the explosive one"] {
        assert_eq!(saying(&lines, message).len(), 1, "{message}");
    }
    assert_eq!(saying(&lines, "after the explosive one")[0].get("value"), "its own");
    let dropped = r#"telemetry_log_lines_dropped_total{destination="file",reason="write_failed"}"#;
    assert_eq!(bench().metric(dropped).await, 1, "the broken line is not accounted for");
}
