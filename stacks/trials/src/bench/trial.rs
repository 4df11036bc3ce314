//! One trial: the three services, started anew with or without telemetry, under load until nothing is under way.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Client;
use serde_json::Value;
use testkit::otlp::OtlpSink;

use super::load::{Answers, place_orders};
use stacks::{
    address::url,
    http,
    local::{LocalStack, layout::Component},
    progress::Progress,
    settings::Options,
    trace::ORDER,
};

/// Before anything is measured: connections, caches, the first pages of the databases.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long what is under way may take to end.
const DRAIN: Duration = Duration::from_secs(60);
const SENT: &str = "emails_sent_total{outcome=\"sent\"}";
/// Spans of one order: those that cross a border, and the decision.
const SPANS: u64 = ORDER.len() as u64 + 1;

/// What a variant is told that the other is not.
pub(super) struct Variant {
    /// Its name in the report.
    pub(super) name: &'static str,
    /// Whether telemetry is on.
    pub(super) observed: bool,
}

/// Telemetry off, and everything on.
pub(super) const VARIANTS: [Variant; 2] =
    [Variant { name: "off", observed: false }, Variant { name: "on", observed: true }];

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) orders_per_s: f64,
    pub(super) cpu_s_per_1000: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Of the service that had most.
    pub(super) peak_mib: f64,
    /// From its start to its first good `/readyz`, of the service that took longest.
    pub(super) ready_ms: f64,
    pub(super) spans_lost: u64,
    pub(super) lines_lost: u64,
}

/// Where a trial takes place.
pub(super) struct Place<'a> {
    /// A directory for its files.
    pub(super) dir: &'a Path,
    /// Where the binaries lie.
    pub(super) binaries: PathBuf,
    /// What any program needs, and the broker.
    pub(super) environment: BTreeMap<String, String>,
}

impl Place<'_> {
    fn settings(&self, variant: &Variant, sink: &OtlpSink, mail: &Path) -> BTreeMap<String, String> {
        let mut settings = self.environment.clone();
        let mut set = |key: &str, value: &str| settings.insert(key.to_owned(), value.to_owned());
        set("PAYMENT_LATENCY", "0s");
        set("PAYMENT_DATABASE_URL", "sqlite://var/payment.db");
        set("MAILER_DATABASE_URL", "sqlite://var/mailer.db");
        set("MAIL_LATENCY", "0s");
        set("MAIL_DIR", &mail.to_string_lossy());
        set("GATEWAY_RATE_LIMIT", "0");
        set("ALERTS", "off");
        set("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.url());
        if variant.observed {
            set("OTEL_LOGS_EXPORTER", "otlp");
        } else {
            set("OTEL_TRACES_EXPORTER", "none");
            set("LOG_LEVEL", "off");
        }
        settings
    }

    /// Runs a variant.
    pub(super) async fn run(&self, variant: &Variant, duration: Duration) -> Result<Measured> {
        let dir = tempfile::Builder::new().prefix(variant.name).tempdir_in(self.dir);
        let dir = dir.with_context(|| format!("cannot write in {}", self.dir.display()))?.keep();
        // For minutes after it has removed many files, ext4 is slow to make new ones: whatever was measured before would
        // be measured again. E-mails are no part of what is compared.
        let mail = tempfile::tempdir_in("/dev/shm").context("no file system in memory for the e-mails")?;
        let sink = OtlpSink::counting().context("cannot start the OTLP receiver")?;
        let env = self.settings(variant, &sink, mail.path());
        let options = Options { dir, env, free_ports: true, binaries: self.binaries.clone() };
        let stack = LocalStack::up(&options, &mut Progress::silent()).await?;
        let mut trial = Trial { stack, http: http::client()?, sink, orders: 0 };
        trial.load(WARM_UP).await?;
        let before = trial.cpu()?;
        let answers = trial.load(duration).await?;
        let cpu = trial.cpu()? - before;
        trial.finish(variant, &answers, cpu).await
    }
}

struct Trial {
    stack: LocalStack,
    http: Client,
    sink: OtlpSink,
    /// Placed so far.
    orders: u64,
}

impl Trial {
    /// Places orders for this long, and waits until each has its e-mail.
    async fn load(&mut self, duration: Duration) -> Result<Answers> {
        let answers = place_orders(&self.stack.gateway_url(), duration).await?;
        self.orders += answers.latencies.len() as u64;
        let deadline = Instant::now() + DRAIN;
        loop {
            let sent = self.sent().await?;
            if sent == self.orders {
                return Ok(answers);
            }
            if Instant::now() > deadline {
                bail!("{sent} of {} e-mails were sent within {} s", self.orders, DRAIN.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn sent(&self) -> Result<u64> {
        let address = url(self.stack.layout().mailer);
        let metrics = self.http.get(format!("{address}/metrics")).send().await?.text().await?;
        let sent = metrics.lines().find_map(|line| line.strip_prefix(SENT)?.trim().parse::<f64>().ok());
        Ok(sent.with_context(|| format!("there is no metric {SENT}"))? as u64)
    }

    /// Seconds of both kinds of time that the services have used so far.
    fn cpu(&self) -> Result<f64> {
        let ticks = self.processes().map(|process| Ok(process.stat()?.utime + process.stat()?.stime));
        let ticks = ticks.collect::<procfs::ProcResult<Vec<u64>>>().context("a service has ended")?;
        Ok(ticks.iter().sum::<u64>() as f64 / procfs::ticks_per_second() as f64)
    }

    fn peak_mib(&self) -> Result<f64> {
        let peaks = self.processes().map(|process| Ok(process.status()?.vmhwm.unwrap_or_default()));
        let peaks = peaks.collect::<procfs::ProcResult<Vec<u64>>>().context("a service has ended")?;
        Ok(peaks.into_iter().max().unwrap_or_default() as f64 / 1024.0)
    }

    fn ready_ms(&self) -> Result<f64> {
        let services = Component::SERVICES.into_iter();
        let longest = services.filter_map(|service| self.stack.ready_after(service)).max();
        Ok(longest.context("no service was started")?.as_secs_f64() * 1e3)
    }

    fn processes(&self) -> impl Iterator<Item = procfs::process::Process> + '_ {
        let pids =
            Component::SERVICES.into_iter().filter_map(|service| Some(self.stack.process(service)?.pid));
        pids.filter_map(|pid| procfs::process::Process::new(pid).ok())
    }

    async fn finish(mut self, variant: &Variant, answers: &Answers, cpu: f64) -> Result<Measured> {
        let orders = answers.latencies.len() as f64;
        let (peak_mib, ready_ms) = (self.peak_mib()?, self.ready_ms()?);
        // What has not left by the end of a stop never will.
        tokio::task::block_in_place(|| self.stack.down(&mut Progress::silent()))?;
        let (spans_lost, lines_lost) = if variant.observed { self.lost()? } else { (0, 0) };
        Ok(Measured {
            orders_per_s: orders / answers.took.as_secs_f64(),
            cpu_s_per_1000: cpu * 1000.0 / orders,
            p50_ms: answers.percentile_ms(0.5),
            p99_ms: answers.percentile_ms(0.99),
            peak_mib,
            ready_ms,
            spans_lost,
            lines_lost,
        })
    }

    /// Spans that did not arrive; lines that are not in a file, or that are and did not arrive.
    fn lost(&self) -> Result<(u64, u64)> {
        let mut lines = 0_u64;
        let mut by_trace: HashMap<String, u64> = HashMap::new();
        for file in fs::read_dir(self.stack.log_dir())? {
            let file = file?.path();
            if !file.to_string_lossy().contains(".log") {
                continue;
            }
            for line in fs::read_to_string(&file)?.lines() {
                lines += 1;
                let line: Value = serde_json::from_str(line)
                    .with_context(|| format!("{} has a line that is no JSON", file.display()))?;
                if let Some(trace) = line["trace.id"].as_str() {
                    *by_trace.entry(trace.to_owned()).or_default() += 1;
                }
            }
        }
        // All orders are alike, so that the most that one has is what each must have.
        let each = by_trace.values().max().copied().unwrap_or_default();
        ensure!(each >= 9, "an order has {each} log lines, and not three of each service");
        let in_traces: u64 = by_trace.values().sum();
        let (spans, records) = self.sink.counts();
        let unwritten = (each * self.orders).saturating_sub(in_traces);
        Ok(((SPANS * self.orders).saturating_sub(spans), unwritten + lines.saturating_sub(records)))
    }
}
