//! What the tests of this crate share: one Observability for each process, the receiver of its spans, and
//! its log file. A test binary is a process of its own, because `Observability::new` installs for all of it.

#![allow(dead_code, reason = "every test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

pub(crate) mod lines;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::thread;

use actix::Addr;
use clap::Parser;
use slog::Logger;
use telemetry::metrics::{Format, Registry};
use telemetry::{Error, Flush, Gather, Health, HealthReport, Observability, Service, Settings, slog};

use lines::Line;
use testkit::exposition::Samples;
use testkit::otlp::OtlpSink;
use testkit::wait::within;

pub(crate) const SERVICE: Service = Service { name: "test-service", version: "1.2.3" };

#[derive(Parser)]
#[command(args_override_self = true)]
struct Command {
    #[command(flatten)]
    telemetry: Settings,
}

/// Settings as a service reads them. What a test depends on is an argument, so that no variable of the
/// environment changes its outcome.
pub(crate) fn settings(arguments: &[&str]) -> Settings {
    let all = ["test", "--otel-traces-exporter=otlp", "--otel-traces-sampler=parentbased_always_on"];
    let quick = ["--otel-bsp-schedule-delay=20", "--otel-exporter-otlp-timeout=5000", "--log-stdout=false"];
    let short_lived = ["--telemetry-spool-dir=", "--otel-logs-exporter=none"];
    Command::parse_from(all.iter().chain(&quick).chain(&short_lived).chain(arguments)).telemetry
}

/// The Observability of this process, and what comes out of its far ends.
pub(crate) struct Bench {
    pub(crate) observability: Addr<Observability>,
    pub(crate) registry: Registry,
    pub(crate) log: Logger,
    file: File,
}

impl Bench {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_by(arguments, |settings| Observability::new(SERVICE, settings))
    }

    /// The same with an Observability that `build` gives.
    pub(crate) fn start_by(
        arguments: &[&str],
        build: impl FnOnce(&Settings) -> Result<Observability, Error> + Send + 'static,
    ) -> Self {
        // Below target/: a static bench is never dropped, and would leave it elsewhere.
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
        let place = format!("--log-dir={}", directory.display());
        let settings = settings(&[&[place.as_str()], arguments].concat());
        let (ready, started) = mpsc::channel();
        // A system of its own: that of a test ends with the test, and others share this bench.
        thread::spawn(move || {
            let system = actix_rt::System::new();
            system.block_on(async move {
                let observability = build(&settings).unwrap();
                let (registry, log) = (observability.registry().clone(), observability.log());
                ready.send((observability.launch(), registry, log)).unwrap();
            });
            system.run().unwrap();
        });
        let (observability, registry, log) = started.recv().unwrap();
        let file = File::open(directory.join("test-service.log")).unwrap();
        Self { observability, registry, log, file }
    }

    pub(crate) async fn flush(&self) {
        within("a flush", self.observability.send(Flush)).await.unwrap();
    }

    pub(crate) async fn health(&self) -> HealthReport {
        within("the health report", self.observability.send(Health)).await.unwrap()
    }

    pub(crate) async fn gather(&self) -> String {
        within("the metrics", self.observability.send(Gather(Format::Text))).await.unwrap().unwrap()
    }

    /// The value of one series; 0 where it does not exist, as `increase()` sees it.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        Samples::parse(&self.gather().await).unwrap().count(series)
    }

    /// The log file as text: all that was written so far.
    pub(crate) fn log_text(&self) -> String {
        let mut bytes = vec![0; usize::try_from(self.file.metadata().unwrap().len()).unwrap()];
        self.file.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Every line that was logged before this call.
    pub(crate) async fn lines(&self) -> Vec<Line> {
        self.flush().await;
        self.lines_so_far()
    }

    /// Every whole line in the file now; another test may be in the middle of its own.
    pub(crate) fn lines_so_far(&self) -> Vec<Line> {
        let text = self.log_text();
        lines::parse(text.rfind('\n').map_or("", |end| &text[..=end]))
    }
}

/// The argument that points a service to this receiver.
pub(crate) fn endpoint(sink: &OtlpSink) -> String {
    format!("--otel-exporter-otlp-endpoint={}", sink.url())
}
