//! A local stack in one directory: starts and stops its components.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use data_encoding::HEXLOWER;
use reqwest::Client;
use sha2::{Digest as _, Sha256};

use super::{
    launcher::{self, Launched, Launcher},
    layout::{Component, Layout},
    pace::Pace,
    rabbitmq::Node,
    state::{self, State},
};
use crate::{
    address::url,
    http,
    process::{Process, Stopped},
    progress::Progress,
    secrets,
    settings::{Options, Settings},
};

/// The time in which a component must become ready.
const MAX_START: Duration = Duration::from_secs(30);
/// RabbitMQ makes its database first, on a machine that may be busy compiling.
const MAX_BROKER_START: Duration = Duration::from_secs(90);
/// The time in which a component must end after SIGTERM.
const MAX_STOP: Duration = Duration::from_secs(20);

/// The readiness of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The component runs and is ready.
    Ready,
    /// The component runs and is not ready, for this reason.
    NotReady(String),
    /// The component does not run.
    Stopped,
}

/// A local stack. Dropping it stops what was started through it, unless told to
/// [leave it running](LocalStack::leave_running).
pub struct LocalStack {
    pub(super) root: PathBuf,
    binaries: PathBuf,
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) node: Option<Node>,
    started: BTreeMap<Component, Launched>,
    client: Client,
}

impl LocalStack {
    /// The stack in a directory as it is, running or not; starts nothing.
    ///
    /// # Errors
    /// When settings or state cannot be read.
    pub fn open(options: &Options) -> Result<Self> {
        let root =
            options.dir.canonicalize().with_context(|| format!("cannot use {}", options.dir.display()))?;
        let settings = options.settings()?;
        let remembered = State::read(&root.join("var/local.json"))?
            .filter(|state| state.processes.values().any(Process::is_alive));
        let state = match remembered {
            Some(state) => state,
            None => {
                State { layout: Layout::choose(&settings, options.free_ports)?, processes: BTreeMap::new() }
            }
        };
        let node = state.layout.broker.map(|ports| Node {
            name: format!("omnitrace-{}@localhost", short_hash(&root)),
            data: root.join("var/rabbitmq"),
            ports,
            password: settings.get("AMQP_PASSWORD").cloned().unwrap_or_default(),
        });
        let (binaries, client) = (options.binaries.clone(), http::client()?);
        Ok(Self { root, binaries, settings, state, node, started: BTreeMap::new(), client })
    }

    /// Starts every component that does not run, and waits until all are ready.
    ///
    /// # Errors
    /// When a component cannot be started; those that were started before it are stopped again.
    pub async fn up(options: &Options, progress: &mut Progress) -> Result<Self> {
        launcher::make_directories(&options.dir)?;
        let _lock = state::lock(&options.lock_file())?;
        progress.begin("read settings");
        let written = secrets::complete(&options.dir.join(".env"))?;
        let mut stack = Self::open(options)?;
        progress.done(&secrets::written(written.len()));
        stack.check(progress).await?;
        for component in stack.layout().components() {
            if let Err(error) = stack.start(component, progress).await {
                progress.failed();
                progress.note("stopping the components that were started");
                return Err(error);
            }
        }
        Ok(stack)
    }

    /// The components that stop when this value is dropped.
    pub fn started(&self) -> impl Iterator<Item = Component> + '_ {
        self.started.keys().copied()
    }

    /// Lets the stack outlive this value.
    pub fn leave_running(&mut self) {
        self.started.clear();
    }

    /// Starts a component unless it runs, and waits until it is ready.
    ///
    /// # Errors
    /// When the component cannot be started, ends, or is not ready in time; its last words are quoted.
    pub async fn start(&mut self, component: Component, progress: &mut Progress) -> Result<()> {
        progress.begin(&format!("start {component}"));
        let running = self.process(component);
        if running.is_none() {
            let launched = self.launcher().launch(component)?;
            self.state.processes.insert(component, launched.process);
            self.started.insert(component, launched);
            self.state.write(&self.state_file())?;
        }
        self.wait(component, progress).await?;
        if let Some(launched) = self.started.get_mut(&component) {
            launched.ready_after.get_or_insert(launched.at.elapsed());
        }
        let already = running.map(|process| format!("already running, pid {}", process.pid));
        let result = [Some(self.layout().describe(component)), already];
        progress.done(&result.into_iter().flatten().collect::<Vec<_>>().join(", "));
        Ok(())
    }

    async fn wait(&mut self, component: Component, progress: &mut Progress) -> Result<()> {
        let limit = if component == Component::Rabbitmq { MAX_BROKER_START } else { MAX_START };
        let begun = Instant::now();
        while let Err(reason) = self.launcher().ready(&self.client, component).await {
            let launched = self.started.get_mut(&component);
            let last_words = launched.as_ref().map_or_else(String::new, |launched| launched.last_words());
            if let Some(status) = launched.and_then(|launched| launched.child.try_wait().ok().flatten()) {
                bail!("cannot start {component}: it ended before it was ready ({status}); {last_words}");
            }
            if self.process(component).is_none() {
                bail!("cannot start {component}: it ended before it was ready; run `stacks up` again");
            }
            if begun.elapsed() > limit {
                bail!(
                    "cannot start {component}: not ready after {} s: {reason}\n{last_words}",
                    limit.as_secs()
                );
            }
            progress.waiting(reason);
            let is_young = begun.elapsed() < Duration::from_secs(1);
            tokio::time::sleep(Duration::from_millis(if is_young { 5 } else { 100 })).await;
        }
        Ok(())
    }

    /// The time from the start of a component through this value until it was ready, to some 10 ms.
    pub fn ready_after(&self, component: Component) -> Option<Duration> {
        self.started.get(&component)?.ready_after
    }

    /// The readiness of a component.
    pub async fn health(&self, component: Component) -> Health {
        if self.process(component).is_none() {
            return Health::Stopped;
        }
        match self.launcher().ready(&self.client, component).await {
            Ok(()) => Health::Ready,
            Err(reason) => Health::NotReady(reason),
        }
    }

    /// Stops a component with SIGTERM, as `down` does. The exit status is known only if this value started it.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn stop(&mut self, component: Component) -> Result<(Stopped, Option<ExitStatus>)> {
        let stopped =
            self.state.processes.get(&component).map_or(Stopped::Already, |process| process.stop(MAX_STOP));
        Ok((stopped, self.forget(component)?))
    }

    /// Kills a component, as a crash would.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn kill(&mut self, component: Component) -> Result<()> {
        if let Some(process) = self.process(component) {
            process.kill();
        }
        self.forget(component).map(drop)
    }

    /// Stops every component in the reverse order of start, also those that another command started; returns their
    /// number.
    ///
    /// # Errors
    /// When another command is changing the stack.
    pub fn down(&mut self, progress: &mut Progress) -> Result<usize> {
        let _lock =
            self.state_file().exists().then(|| state::lock(&self.root.join("var/local.lock"))).transpose()?;
        let running: Vec<Component> = self.state.processes.keys().rev().copied().collect();
        let mut ended = 0;
        for component in running {
            progress.begin(&format!("stop {component}"));
            let (stopped, _) = self.stop(component)?;
            progress.done(&match stopped {
                Stopped::Already => "had ended before".into(),
                Stopped::Gracefully => "stopped".into(),
                Stopped::Killed => format!("killed after {} s", MAX_STOP.as_secs()),
            });
            ended += usize::from(stopped != Stopped::Already);
        }
        Ok(ended)
    }

    /// Has Prometheus and Alertmanager evaluate at another pace until they are started again.
    pub(crate) async fn set_pace(&self, pace: Pace) -> Result<()> {
        let monitoring = self.launcher().monitoring()?;
        monitoring.write(pace)?;
        for address in [monitoring.watch.prometheus, monitoring.watch.alertmanager] {
            let reload = url(address) + "/-/reload";
            let answer =
                self.client.post(&reload).send().await.with_context(|| format!("cannot ask {reload}"))?;
            let status = answer.status();
            let text = answer.text().await.unwrap_or_default();
            ensure!(status.is_success(), "cannot set the pace: {reload} answered {status}: {}", text.trim());
        }
        Ok(())
    }

    fn forget(&mut self, component: Component) -> Result<Option<ExitStatus>> {
        let status = self.started.remove(&component).and_then(|mut launched| launched.child.wait().ok());
        self.state.processes.remove(&component);
        self.state.write(&self.state_file())?;
        Ok(status)
    }

    pub(super) fn launcher(&self) -> Launcher<'_> {
        let Self { root, binaries, settings, node, .. } = self;
        Launcher { root, binaries, layout: &self.state.layout, settings, node: node.as_ref() }
    }

    fn state_file(&self) -> PathBuf {
        self.root.join("var/local.json")
    }
}

impl Drop for LocalStack {
    fn drop(&mut self) {
        let started: Vec<Component> = self.started.keys().rev().copied().collect();
        for component in started {
            // There is no caller to tell; the process has ended either way.
            let _ = self.stop(component);
        }
    }
}

/// Eight digits that tell apart the nodes and containers of several checkouts on one machine.
pub(crate) fn short_hash(root: &Path) -> String {
    HEXLOWER.encode(&Sha256::digest(root.as_os_str().as_encoded_bytes())[..4])
}
