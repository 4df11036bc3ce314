//! One trial: the three services, started anew, under load until the last order has its e-mail.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use reqwest::Client;
use stacks::{
    address::url,
    http,
    local::{LocalStack, layout::Component},
    progress::Progress,
    settings::{Options, Settings},
};
use testkit::{exposition::Samples, otlp::OtlpSink};

use super::{
    database::Database,
    grown::Grown,
    load::{Answers, place_orders},
    losses,
    measured::{Cost, Measured, SERVICES},
    usage::{self, Usage},
    variant::Variant,
};

/// Load before the measurement: connections, caches, the first pages of the databases.
const WARM_UP: Duration = Duration::from_secs(2);
/// From the last answer to the last e-mail.
const MAX_DRAIN: Duration = Duration::from_secs(60);
/// The thread of a service that reads its whole file, and how long it may take.
const CHECK: &str = "store-check";
const MAX_CHECK: Duration = Duration::from_secs(300);
const SENT: &str = "emails_sent_total{outcome=\"sent\"}";

/// Where trials take place.
pub(super) struct Site<'a> {
    /// A directory for their files.
    pub(super) dir: &'a Path,
    pub(super) database: &'a Database,
    /// The files of the grown variants.
    pub(super) grown: Option<Grown>,
    /// The variables that any program needs, and the broker.
    pub(super) environment: Settings,
}

impl Site<'_> {
    /// Runs a trial of a variant.
    pub(super) async fn run(&self, variant: &Variant, duration: Duration) -> Result<Measured> {
        let dir = tempfile::Builder::new().prefix(&variant.name.replace(' ', "-")).tempdir_in(self.dir);
        let dir = dir.with_context(|| format!("cannot write in {}", self.dir.display()))?.keep();
        // In memory: ext4 is slow to create files for minutes after many were removed, so that one trial would slow the
        // next one down. The e-mail files are not part of the measurement.
        let mail = tempfile::tempdir_in("/dev/shm").context("no file system in memory for the e-mails")?;
        let sink = OtlpSink::counting().context("cannot start the OTLP receiver")?;
        let env = self.settings(variant, &sink, mail.path())?;
        let options = Options { dir, env, free_ports: true, binaries: variant.binaries.clone() };
        let stack = LocalStack::up(&options, &mut Progress::silent()).await?;
        let mut trial = Trial { stack, http: http::client()?, sink, orders: 0 };
        trial.checked().await?;
        trial.load(WARM_UP).await?;
        let before = trial.usage().await?;
        let answers = trial.load(duration).await?;
        let after = trial.usage().await?;
        trial.finish(variant, &answers, before, after)
    }

    fn settings(&self, variant: &Variant, sink: &OtlpSink, mail: &Path) -> Result<Settings> {
        let mut settings = self.environment.clone();
        let mut set = |key: &str, value: &str| settings.insert(key.to_owned(), value.to_owned());
        set("PAYMENT_LATENCY", "0s");
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
        match &self.grown {
            Some(grown) if variant.grown => grown.set(&mut settings),
            _ => self.database.set(&mut settings)?,
        }
        Ok(settings)
    }
}

struct Trial {
    stack: LocalStack,
    http: Client,
    sink: OtlpSink,
    /// Orders so far.
    orders: u64,
}

impl Trial {
    /// Places orders for this long, and waits until each has its e-mail.
    async fn load(&mut self, duration: Duration) -> Result<Answers> {
        let answers = place_orders(&self.stack.gateway_url(), duration).await?;
        self.orders += answers.latencies.count();
        let deadline = Instant::now() + MAX_DRAIN;
        loop {
            let sent = self.sent().await?;
            if sent == self.orders {
                return Ok(answers);
            }
            if Instant::now() > deadline {
                bail!("{sent} of {} e-mails were sent within {} s", self.orders, MAX_DRAIN.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until no service reads its whole file for damage any more: that belongs to the start, and to no order.
    async fn checked(&self) -> Result<()> {
        let deadline = Instant::now() + MAX_CHECK;
        for (name, pid) in self.pids()? {
            while usage::has_thread(pid, CHECK)? {
                if Instant::now() > deadline {
                    bail!("{name} still checks its file after {} s", MAX_CHECK.as_secs());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    async fn sent(&self) -> Result<u64> {
        let samples = self.metrics(self.stack.layout().mailer).await?;
        Ok(samples.find(SENT).with_context(|| format!("there is no metric {SENT}"))? as u64)
    }

    async fn metrics(&self, service: SocketAddr) -> Result<Samples> {
        let page = self.http.get(format!("{}/metrics", url(service))).send().await?.text().await?;
        Samples::parse(&page).map_err(anyhow::Error::msg)
    }

    /// In the order of [`SERVICES`].
    async fn usage(&self) -> Result<[Usage; 3]> {
        let mut usage = [Usage::default(); 3];
        let layout = self.stack.layout();
        let addresses = [layout.gateway, layout.payment, layout.mailer];
        for (((_, pid), address), usage) in self.pids()?.into_iter().zip(addresses).zip(&mut usage) {
            *usage = Usage::of(pid, &self.metrics(address).await?)?;
        }
        Ok(usage)
    }

    /// The services with their process ids, in the order of [`SERVICES`].
    fn pids(&self) -> Result<Vec<(&'static str, i32)>> {
        let pid = |name: &'static str| {
            let service = Component::SERVICES.into_iter().find(|service| service.name() == name);
            let process = service.and_then(|service| self.stack.process(service));
            Ok((name, process.with_context(|| format!("{name} has ended"))?.pid))
        };
        SERVICES.into_iter().map(pid).collect()
    }

    fn finish(
        mut self,
        variant: &Variant,
        answers: &Answers,
        before: [Usage; 3],
        after: [Usage; 3],
    ) -> Result<Measured> {
        let measured = answers.latencies.count();
        let ready =
            Component::SERVICES.into_iter().filter_map(|service| self.stack.ready_after(service)).max();
        // A stop flushes all telemetry: what has not arrived by its end is lost.
        tokio::task::block_in_place(|| self.stack.down(&mut Progress::silent()))?;
        let (spans_lost, lines_lost) = match variant.observed {
            true => losses::losses(&self.stack.log_dir(), &self.sink, self.orders)?,
            false => (0, 0),
        };
        let services =
            std::array::from_fn(|service| Cost::between(before[service], after[service], measured));
        Ok(Measured {
            orders_per_s: measured as f64 / answers.took.as_secs_f64(),
            p50_ms: answers.quantile_ms(0.5),
            p99_ms: answers.quantile_ms(0.99),
            ready_ms: ready.context("no service was started")?.as_secs_f64() * 1e3,
            services,
            spans_lost,
            lines_lost,
        })
    }
}
