//! The local stack, without Docker: a private RabbitMQ node, the embedded trace backend and the three
//! services as ordinary processes. A [`Stack`] knows what runs; what it started it stops when dropped.

mod access;
mod check;
pub mod layout;
pub mod pace;
pub mod ports;
pub mod rabbitmq;
pub mod secrets;
mod services;
pub mod state;
pub mod watch;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use reqwest::Client;
use sha2::{Digest as _, Sha256};

use self::{
    layout::{Component, Layout},
    rabbitmq::Node,
    services::{Launched, Recipe},
    state::State,
};
use crate::{
    http,
    process::{Process, Stopped},
    progress::Progress,
};

/// How long a component may take to become ready.
const START: Duration = Duration::from_secs(30);
/// RabbitMQ makes its database first, on a machine that may be busy compiling.
const START_BROKER: Duration = Duration::from_secs(90);
/// How long a component may take to finish what it is doing when told to end.
const STOP: Duration = Duration::from_secs(20);

/// What a stack is made from.
#[derive(Clone, Debug)]
pub struct Options {
    /// The root directory: holds `.env`, `var/` and `logs/`.
    pub dir: PathBuf,
    /// The caller's environment; it wins over `.env`.
    pub env: BTreeMap<String, String>,
    /// Choose free ports where no setting names one, for stacks side by side.
    pub free_ports: bool,
    /// The directory with the binaries `stacks`, `payment`, `mailer` and `gateway`.
    pub binaries: PathBuf,
}

impl Options {
    /// A stack in this directory, with this process's environment and the binaries beside ours.
    pub fn new(dir: impl Into<PathBuf>) -> Result<Self> {
        let binary = std::env::current_exe().context("cannot find out where this program lies")?;
        let env = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        let binaries = binary.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self { dir: dir.into(), env: env.collect(), free_ports: false, binaries })
    }
}

/// What any program needs of an environment, and nothing that would change what it does.
pub fn bare(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let needed = ["PATH", "HOME"].into_iter().filter_map(|key| env.get_key_value(key));
    needed.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether a component can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Ready,
    /// It runs, but cannot; why.
    NotReady(String),
    /// It does not run.
    Stopped,
}

/// A local stack. Dropping it stops what was started through it, unless told to
/// [leave it running](Stack::leave_running).
pub struct Stack {
    root: PathBuf,
    binaries: PathBuf,
    settings: BTreeMap<String, String>,
    state: State,
    node: Option<Node>,
    started: BTreeMap<Component, Launched>,
    client: Client,
}

impl Stack {
    /// The stack in a directory as it is, running or not; starts nothing.
    pub fn open(options: &Options) -> Result<Self> {
        let root =
            options.dir.canonicalize().with_context(|| format!("no directory {}", options.dir.display()))?;
        let mut settings = secrets::read(&root.join(".env"))?;
        settings.extend(options.env.clone());
        settings.retain(|_, value| !value.is_empty());
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

    /// Brings everything up that is not up yet, and waits until all of it is ready.
    /// When something fails, what was started before it is stopped again.
    pub async fn up(options: &Options, progress: &mut Progress) -> Result<Self> {
        services::make_directories(&options.dir)?;
        let _lock = state::lock(&options.dir.join("var/local.lock"))?;
        progress.begin("settings");
        let written = secrets::complete(&options.dir.join(".env"))?;
        let mut stack = Self::open(options)?;
        progress.done(&if written.is_empty() {
            "as in .env".into()
        } else {
            format!("wrote {} secrets to .env", written.len())
        });
        stack.check(progress).await?;
        for component in stack.layout().components() {
            if let Err(error) = stack.start(component, progress).await {
                progress.failed();
                progress.note("stopping what was started");
                return Err(error);
            }
        }
        Ok(stack)
    }

    /// What was started through this value and is to be stopped with it.
    pub fn started(&self) -> impl Iterator<Item = Component> + '_ {
        self.started.keys().copied()
    }

    /// From now on the stack outlives this value.
    pub fn leave_running(&mut self) {
        self.started.clear();
    }

    /// Starts one component, if it does not run, and waits until it is ready.
    pub async fn start(&mut self, component: Component, progress: &mut Progress) -> Result<()> {
        progress.begin(component.name());
        let running = self.process(component);
        if running.is_none() {
            let launched = self.recipe().launch(component)?;
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
        let limit = if component == Component::Rabbitmq { START_BROKER } else { START };
        let begun = Instant::now();
        while let Err(reason) = self.recipe().ready(&self.client, component).await {
            let launched = self.started.get_mut(&component);
            let last_words = launched.as_ref().map_or_else(String::new, |launched| launched.last_words());
            if let Some(status) = launched.and_then(|launched| launched.child.try_wait().ok().flatten()) {
                bail!("{component} ended before it was ready ({status}); {last_words}");
            }
            if self.process(component).is_none() {
                bail!("{component} ended while it was waited for; run `stacks up` again");
            }
            if begun.elapsed() > limit {
                bail!(
                    "{component} runs but is not ready after {} s: {reason}\n{last_words}",
                    limit.as_secs()
                );
            }
            progress.waiting(reason);
            let is_young = begun.elapsed() < Duration::from_secs(1);
            tokio::time::sleep(Duration::from_millis(if is_young { 5 } else { 100 })).await;
        }
        Ok(())
    }

    /// How long a component that was started through this value took until it could be used, to some 10 ms.
    pub fn ready_after(&self, component: Component) -> Option<Duration> {
        self.started.get(&component)?.ready_after
    }

    /// Whether a component can be used.
    pub async fn health(&self, component: Component) -> Health {
        if self.process(component).is_none() {
            return Health::Stopped;
        }
        match self.recipe().ready(&self.client, component).await {
            Ok(()) => Health::Ready,
            Err(reason) => Health::NotReady(reason),
        }
    }

    /// Ends one component as `down` does. The exit status is known only if this value started it.
    pub fn stop(&mut self, component: Component) -> Result<(Stopped, Option<ExitStatus>)> {
        let stopped =
            self.state.processes.get(&component).map_or(Stopped::Already, |process| process.stop(STOP));
        Ok((stopped, self.forget(component)?))
    }

    /// Ends one component as a crash would.
    pub fn kill(&mut self, component: Component) -> Result<()> {
        if let Some(process) = self.process(component) {
            process.kill();
        }
        self.forget(component).map(drop)
    }

    /// Ends everything of this stack in the reverse order of start, no matter who started it;
    /// returns how many processes that were.
    pub fn down(&mut self, progress: &mut Progress) -> Result<usize> {
        let _lock =
            self.state_file().exists().then(|| state::lock(&self.root.join("var/local.lock"))).transpose()?;
        let running: Vec<Component> = self.state.processes.keys().rev().copied().collect();
        let mut ended = 0;
        for component in running {
            progress.begin(component.name());
            let (stopped, _) = self.stop(component)?;
            progress.done(&match stopped {
                Stopped::Already => "had ended already".into(),
                Stopped::Gracefully => "stopped".into(),
                Stopped::Killed => format!("did not end within {} s and was killed", STOP.as_secs()),
            });
            ended += usize::from(stopped != Stopped::Already);
        }
        Ok(ended)
    }

    fn forget(&mut self, component: Component) -> Result<Option<ExitStatus>> {
        let status = self.started.remove(&component).and_then(|mut launched| launched.child.wait().ok());
        self.state.processes.remove(&component);
        self.state.write(&self.state_file())?;
        Ok(status)
    }

    fn recipe(&self) -> Recipe<'_> {
        let Self { root, binaries, settings, node, .. } = self;
        Recipe { root, binaries, layout: &self.state.layout, settings, node: node.as_ref() }
    }

    fn state_file(&self) -> PathBuf {
        self.root.join("var/local.json")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let started: Vec<Component> = self.started.keys().rev().copied().collect();
        for component in started {
            // Nobody is left to tell; the process itself has ended either way.
            let _ = self.stop(component);
        }
    }
}

/// Tells apart the nodes of several checkouts on one machine.
fn short_hash(root: &Path) -> String {
    let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
