//! How each component is started, where its console output goes, and how its readiness is asked for.

use std::{
    fs::{DirBuilder, File},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;

use super::{
    layout::{Component, Layout},
    monitoring::Monitoring,
    rabbitmq::Node,
    redis,
};
use crate::{
    address::{link, url},
    http,
    process::{Process, append, spawn_detached},
    settings::Settings,
};

/// Starts the components of one stack.
pub(super) struct Launcher<'a> {
    pub(super) root: &'a Path,
    pub(super) binaries: &'a Path,
    pub(super) layout: &'a Layout,
    pub(super) settings: &'a Settings,
    pub(super) node: Option<&'a Node>,
}

/// A process that this command has started.
pub(super) struct Launched {
    pub(super) child: Child,
    pub(super) process: Process,
    pub(super) at: Instant,
    /// The time from the start until it was ready.
    pub(super) ready_after: Option<Duration>,
    /// Its console output, from this offset on.
    log: PathBuf,
    offset: u64,
}

impl<'a> Launcher<'a> {
    /// Starts a component without waiting for it.
    pub(super) fn launch(&self, component: Component) -> Result<Launched> {
        let log = self.root.join(console(component));
        let (stderr, offset) = append(&log)?;
        // The console of these is their log; the services write log files.
        let stdout = match component {
            Component::Epmd | Component::Rabbitmq | Component::Redis => stderr.try_clone()?.into(),
            _ => Stdio::null(),
        };
        let mut command = self.command(component)?;
        let at = Instant::now();
        let child = spawn_detached(&mut command, stdout, stderr);
        let child = child.with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let process = Process::of(child.id())?;
        Ok(Launched { child, process, at, ready_after: None, log, offset })
    }

    /// The binary of a component that this repository builds.
    pub(super) fn binary(&self, component: Component) -> Result<PathBuf> {
        let name = match component {
            Component::Traces | Component::Console => "stacks",
            _ => component.name(),
        };
        let path = self.binaries.join(name);
        ensure!(path.exists(), "cannot find {}; run `cargo build --release`", path.display());
        Ok(path)
    }

    /// The command of a component, in the root directory.
    pub(super) fn command(&self, component: Component) -> Result<Command> {
        let mut environment = self.settings.clone();
        let mut command = match component {
            Component::Epmd => self.node.context("this stack has no RabbitMQ node of its own")?.epmd(),
            Component::Rabbitmq => {
                let node = self.node.context("this stack has no RabbitMQ node of its own")?;
                node.write_settings()?;
                node.server()
            }
            Component::Traces => {
                let traces = self.layout.traces.context("this stack has no trace backend of its own")?;
                let mut command = Command::new(self.binary(component)?);
                command.args([
                    "trace-backend",
                    "--otlp",
                    &traces.otlp.to_string(),
                    "--ui",
                    &traces.ui.to_string(),
                ]);
                command
            }
            Component::Console => {
                let address = self.layout.console.context("this stack has no console")?;
                let mut command = Command::new(self.binary(component)?);
                command.args(["console-server", "--listen", &address.to_string()]);
                command
            }
            Component::Redis => {
                let address = self.layout.redis.context("this stack has no Redis of its own")?;
                redis::command(self.root, self.settings, address)?
            }
            Component::Alertmanager => self.monitoring()?.alertmanager()?,
            Component::Prometheus => self.monitoring()?.prometheus()?,
            Component::Payment | Component::Mailer | Component::Gateway => {
                environment = self.environment()?;
                Command::new(self.binary(component)?)
            }
        };
        let own: Vec<_> =
            command.get_envs().map(|(key, value)| (key.to_owned(), value.map(ToOwned::to_owned))).collect();
        command.current_dir(self.root).env_clear().envs(environment);
        command.envs(own.into_iter().filter_map(|(key, value)| Some((key, value?))));
        Ok(command)
    }

    /// Prometheus and Alertmanager.
    pub(super) fn monitoring(&self) -> Result<Monitoring<'a>> {
        let watch = self.layout.watch.context("this stack has no Prometheus of its own")?;
        Ok(Monitoring { root: self.root, layout: self.layout, settings: self.settings, watch })
    }

    /// The environment of the services: the settings, and what follows from the layout.
    fn environment(&self) -> Result<Settings> {
        let Layout { gateway, payment, mailer, traces, .. } = self.layout;
        let mut environment = self.settings.clone();
        for (key, value) in [
            ("PAYMENT_URL", url(*payment)),
            ("PAYMENT_DATABASE_URL", "sqlite://var/payment.db".into()),
            ("MAILER_DATABASE_URL", "sqlite://var/mailer.db".into()),
            ("MAIL_DIR", "var/mail".into()),
            ("LOG_DIR", "logs".into()),
        ] {
            environment.entry(key.into()).or_insert(value);
        }
        for (key, value) in [
            ("GATEWAY_LISTEN", gateway.to_string()),
            ("PAYMENT_LISTEN", payment.to_string()),
            ("MAILER_LISTEN", mailer.to_string()),
            // The same lines are in the log files.
            ("LOG_STDOUT", "false".into()),
        ] {
            environment.insert(key.into(), value);
        }
        if let Some(traces) = traces {
            environment.insert("OTEL_EXPORTER_OTLP_ENDPOINT".into(), url(traces.otlp));
            environment.insert("TRACE_URL".into(), link(traces.ui) + "/trace/{traceId}");
        }
        if let Some(redis) = self.layout.redis {
            environment.insert("GATEWAY_RATE_LIMIT_URL".into(), redis::url(self.settings, redis)?);
        }
        if let Some(node) = self.node {
            environment.insert("AMQP_URL".into(), node.amqp_url());
        }
        ensure!(
            environment.contains_key("AMQP_URL"),
            "cannot find the broker: this stack was started with an AMQP_URL that is no longer set; set it again, or run \
             `stacks down` first"
        );
        Ok(environment)
    }

    /// Ok if a component that runs is ready, otherwise the reason.
    pub(super) async fn ready(&self, client: &Client, component: Component) -> Result<(), String> {
        let listens = self.layout.listens(component);
        let probe = async |index: usize, path: &str| match listens.get(index) {
            Some((address, ..)) => http::probe(client, &(url(*address) + path)).await,
            None => Ok(()),
        };
        match (component, self.node) {
            (Component::Rabbitmq, Some(node)) => node.ready(client).await,
            (Component::Traces, _) => {
                probe(1, "/livez").await?;
                probe(0, "/api/services").await
            }
            (Component::Redis, _) => match self.layout.redis {
                Some(address) => redis::ready(address).await,
                None => Ok(()),
            },
            (Component::Payment | Component::Mailer | Component::Gateway, _) => probe(0, "/readyz").await,
            (Component::Alertmanager | Component::Prometheus, _) => probe(0, "/-/ready").await,
            (Component::Console, _) => probe(0, "/livez").await,
            // The port mapper answers no question; the node cannot become ready without it.
            (Component::Epmd | Component::Rabbitmq, _) => Ok(()),
        }
    }
}

impl Launched {
    /// The last lines of its console output since it was started, with their file.
    pub(super) fn last_words(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.log)?;
            file.seek(SeekFrom::Start(self.offset))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(12)..];
        if last.is_empty() {
            return "its standard error is empty; `stacks logs` shows its log lines".into();
        }
        format!("the end of {}:\n  {}", self.log.display(), last.join("\n  "))
    }
}

/// The file, below the root, for the console output of a component.
fn console(component: Component) -> String {
    match component {
        Component::Epmd | Component::Rabbitmq => "logs/rabbitmq.out".into(),
        _ => format!("logs/{component}.err"),
    }
}

/// Makes the directories that the stack writes to, for their owner only: databases, e-mails and logs hold customers'
/// addresses.
pub(super) fn make_directories(root: &Path) -> Result<()> {
    for dir in ["var", "logs"] {
        let dir = root.join(dir);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot make the directory {}", dir.display()))?;
    }
    Ok(())
}
