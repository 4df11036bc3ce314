//! The system to break: the real services, a RabbitMQ node of its own behind a fault proxy, and a mail server that
//! misbehaves on request.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::Value;
use stacks::{
    address::url,
    http,
    local::{LocalStack, layout::Component, rabbitmq},
    process::Signal,
    progress::Progress,
    settings::{Options, bare},
};
use testkit::{
    exposition::Samples,
    otlp::{Answer, OtlpSink},
    smtp::{Behavior, SmtpServer, State},
};
use tokio::task::{JoinSet, block_in_place};

use super::{
    databases::Databases,
    rabbit::{Message, PARKING, QUEUE, Rabbit, UNROUTED},
};
use crate::{
    lent::{Broker, Server as _},
    proxy::{Line, Proxy},
};

/// The settings of all services, beside the addresses.
const SETTINGS: [(&str, &str); 6] = [
    ("PAYMENT_LATENCY", "5ms"),
    ("MAIL_LATENCY", "5ms"),
    ("GATEWAY_RATE_LIMIT", "0"),
    ("ALERTS", "off"),
    ("PAYMENT_DATABASE_URL", "sqlite://var/payment.db"),
    ("MAILER_DATABASE_URL", "sqlite://var/mailer.db"),
];
/// How long a service may take to end after a signal.
const MAX_END: Duration = Duration::from_secs(20);

/// The whole system. Dropping it ends its processes.
pub(crate) struct System {
    /// The three services.
    pub(crate) stack: LocalStack,
    /// The RabbitMQ node.
    pub(crate) broker: Broker,
    /// The management API of the broker.
    pub(crate) rabbit: Rabbit,
    /// The connection between the services and the broker.
    pub(crate) line: Proxy,
    /// The mail server of the mailer.
    pub(crate) mail: SmtpServer,
    /// The receiver of spans. With an endpoint of its own, the stack starts no trace backend.
    pub(crate) telemetry: OtlpSink,
    /// Services that ended in a wrong way.
    pub(crate) bad_endings: Vec<String>,
    /// When services were killed.
    pub(crate) kills: Vec<Instant>,
    /// The unreadable messages that were published, in Base64.
    pub(crate) poison: Vec<String>,
    /// Where payment and mailer keep their state.
    pub(crate) databases: Databases,
    http: Client,
}

impl System {
    /// Starts the system in this directory, which must exist.
    pub(crate) async fn start(
        dir: &Path,
        binaries: PathBuf,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let broker = Broker::start().await?;
        let line = Proxy::start(rabbitmq::local(broker.node.ports.amqp)).await?;
        let mail = SmtpServer::start().await?;
        let telemetry = OtlpSink::judging().context("cannot start a receiver of telemetry")?;
        let mut amqp: Url = broker.node.amqp_url().parse().context("the broker's address makes no URL")?;
        // Only a URL without a host can refuse a port.
        let _ = amqp.set_port(Some(line.address.port()));
        let mut env = bare(environment);
        env.extend(SETTINGS.map(|(key, value)| (key.into(), value.into())));
        env.extend([
            ("AMQP_URL".into(), amqp.into()),
            ("SMTP_URL".into(), mail.url()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT".into(), telemetry.url()),
        ]);
        let options = Options { dir: dir.into(), env, free_ports: true, binaries };
        let stack = LocalStack::up(&options, &mut Progress::silent()).await?;
        let rabbit = Rabbit::new(&broker.node)?;
        Ok(Self {
            stack,
            broker,
            rabbit,
            line,
            mail,
            telemetry,
            bad_endings: Vec::new(),
            kills: Vec::new(),
            poison: Vec::new(),
            databases: Databases::Files,
            http: http::client()?,
        })
    }

    /// Kills services.
    pub(crate) fn kill(&mut self, services: &[Component]) -> Result<()> {
        self.kills.push(Instant::now());
        services.iter().try_for_each(|service| block_in_place(|| self.stack.kill(*service)))
    }

    /// Starts services that have ended, and waits until they are ready.
    pub(crate) async fn revive(&mut self, services: &[Component]) -> Result<()> {
        for service in services {
            self.stack.start(*service, &mut Progress::silent()).await?;
        }
        Ok(())
    }

    /// Sends a service this signal, and waits until it has ended.
    pub(crate) fn end(&mut self, service: Component, signal: Signal) -> Result<()> {
        if let Some(process) = self.stack.process(service) {
            process.signal(signal);
            block_in_place(|| process.ends_within(MAX_END));
        }
        match block_in_place(|| self.stack.stop(service))? {
            (_, Some(status)) if status.success() => {}
            (_, status) => self.bad_endings.push(format!("{service} ended with {status:?} after {signal:?}")),
        }
        Ok(())
    }

    /// Ends what a fault may have left when it could not be inflicted to its end.
    pub(crate) async fn heal(&mut self) -> Result<()> {
        self.mail.set(State::Up(Behavior::Accept, 1));
        self.line.set(Line::Open);
        self.telemetry.always(Answer::Accept);
        self.telemetry.open();
        self.revive(&Component::SERVICES).await
    }

    /// Restarts a service with other settings.
    pub(crate) async fn restart_with(
        &mut self,
        service: Component,
        settings: &[(&str, Option<&str>)],
    ) -> Result<()> {
        self.end(service, Signal::TERM)?;
        for (key, value) in settings {
            self.stack.set(key, *value);
        }
        self.revive(&[service]).await
    }

    /// Starts all services without data.
    pub(crate) async fn begin_anew(&mut self) -> Result<()> {
        self.forget().await?;
        self.revive(&Component::SERVICES).await
    }

    /// Ends all services and removes their data.
    pub(crate) async fn forget(&mut self) -> Result<()> {
        self.kill(&Component::SERVICES)?;
        let var = self.stack.dir().join("var");
        for file in fs::read_dir(&var).with_context(|| format!("cannot list {}", var.display()))? {
            let file = file?.path();
            if file.to_string_lossy().contains(".db") {
                fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
            }
        }
        for queue in [QUEUE, UNROUTED, PARKING] {
            self.rabbit.purge(queue).await?;
        }
        Ok(())
    }

    /// Restarts payment and mailer with other databases, unless they have them, and removes the old ones.
    pub(crate) async fn move_to(&mut self, databases: Databases) -> Result<()> {
        if matches!((&self.databases, &databases), (Databases::Files, Databases::Files)) {
            return Ok(());
        }
        for (service, setting) in
            [(Component::Payment, "PAYMENT_DATABASE_URL"), (Component::Mailer, "MAILER_DATABASE_URL")]
        {
            self.restart_with(service, &[(setting, Some(&databases.url(service)))]).await?;
        }
        self.databases = databases;
        Ok(())
    }

    /// Waits until a service has ended at a crash point.
    pub(crate) async fn death(&mut self, service: Component, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while self.stack.process(service).is_some() {
            if Instant::now() > deadline {
                bail!("{service} still runs after {} s; build it with `--all-features`", limit.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        match self.stack.stop(service)? {
            (_, Some(status)) if status.signal() == Some(Signal::KILL.as_raw()) => Ok(()),
            (_, status) => bail!("{service} ended with {status:?} in place of a crash"),
        }
    }

    /// Sends a signal to a service.
    pub(crate) fn signal(&self, service: Component, signal: Signal) {
        if let Some(process) = self.stack.process(service) {
            process.signal(signal);
        }
    }

    /// Publishes a message that the mailer cannot read, and must park.
    pub(crate) async fn poison(&mut self, payload: &str) -> Result<()> {
        self.rabbit.publish(&Message::to_mailer(payload)).await?;
        self.poison.push(payload.to_owned());
        Ok(())
    }

    /// The response of a service to GET.
    pub(crate) async fn get(&self, service: Component, path: &str) -> Result<Response> {
        let address = url(self.stack.layout().listens(service)[0].0);
        Ok(self.http.get(address + path).send().await?)
    }

    /// The metrics of a service, as text.
    pub(crate) async fn metrics(&self, service: Component) -> Result<String> {
        Ok(self.get(service, "/metrics").await?.error_for_status()?.text().await?)
    }

    /// The value of a gauge or a counter.
    pub(crate) async fn metric(&self, service: Component, series: &str) -> Result<u64> {
        let samples = Samples::parse(&self.metrics(service).await?).map_err(anyhow::Error::msg)?;
        Ok(samples.find(series).with_context(|| format!("{service} has no metric {series}"))? as u64)
    }

    /// The answers to `GET /orders/{id}`, over so many connections; unknown orders are left out.
    pub(crate) async fn orders(&self, ids: Vec<String>, connections: usize) -> Result<Vec<(String, Value)>> {
        let mut asking = JoinSet::new();
        for ids in ids.chunks(ids.len().div_ceil(connections).max(1)) {
            let (http, gateway, ids) = (self.http.clone(), self.stack.gateway_url(), ids.to_vec());
            asking.spawn(async move {
                let mut orders = Vec::new();
                for id in ids {
                    let answer = http.get(format!("{gateway}/orders/{id}")).send().await?;
                    if answer.status() != StatusCode::NOT_FOUND {
                        orders.push((id, answer.error_for_status()?.json().await?));
                    }
                }
                anyhow::Ok(orders)
            });
        }
        let mut orders = Vec::new();
        while let Some(some) = asking.join_next().await {
            orders.extend(some??);
        }
        Ok(orders)
    }

    /// Requests the dead letters of the mailer, or their replay.
    pub(crate) async fn dead_letters(&self, method: Method, path: &str) -> Result<Value> {
        let token = self.stack.setting("MAILER_TOKEN").context("the mailer has no token")?;
        let url = self.stack.mailer_url() + path;
        let answer = self.http.request(method, url).bearer_auth(token).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Unfinished work by place; places without any are left out.
    pub(crate) async fn backlog(&self) -> Result<BTreeMap<String, u64>> {
        let mut backlog = BTreeMap::new();
        for (service, gauge) in [(Component::Payment, "outbox_pending"), (Component::Mailer, "inbox_queued")]
        {
            backlog.insert(gauge.to_owned(), self.metric(service, gauge).await?);
        }
        for queue in [QUEUE, UNROUTED] {
            backlog.insert(queue.to_owned(), self.rabbit.depth(queue).await?);
        }
        backlog.retain(|_, count| *count > 0);
        Ok(backlog)
    }

    /// Takes the messages of the parking queue, in Base64.
    pub(crate) async fn parked(&self) -> Result<Vec<String>> {
        Ok(self.rabbit.take(PARKING).await?.into_iter().map(|message| message.payload).collect())
    }
}
