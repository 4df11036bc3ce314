//! `trials broker`: lends a command a private RabbitMQ node for as long as it runs, so that tests
//! need no broker on the machine and leave none behind.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::{Child, Command};
use uuid::Uuid;

use stacks::{
    http,
    local::rabbitmq::{Node, Ports},
    process::{Process, append, spawn_detached},
    signals::Interruptions,
};

const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(30);

/// By default a node counts the messages in its queues every five seconds: too seldom for who waits for them.
const EAGER_COUNTS: &str = "[{rabbit, [{quorum_tick_interval, 500}, {collect_statistics_interval, 500}]}].\n";

/// Runs a command with `AMQP_URL`, `RABBITMQ_MANAGEMENT_URL` and `RABBITMQ_METRICS_URL` set and returns its exit code.
/// When the caller has a broker already, the command simply runs.
pub async fn run(command: &[String], has_broker: bool) -> Result<u8> {
    let start = async {
        let broker = Broker::start().await?;
        let names = [
            ("AMQP_URL", broker.node.amqp_url()),
            ("RABBITMQ_MANAGEMENT_URL", broker.node.management_url()),
            ("RABBITMQ_METRICS_URL", broker.node.metrics_url()),
        ];
        Ok((broker, names.to_vec()))
    };
    lend(command, (!has_broker).then_some(start)).await
}

/// Runs a command and returns its exit code. `start` starts a server that lives as long as the command does, and says
/// which variables name it.
pub(crate) async fn lend<S>(
    command: &[String],
    start: Option<impl Future<Output = Result<(S, Vec<(&'static str, String)>)>>>,
) -> Result<u8> {
    let (program, arguments) = command.split_first().context("say which command to run")?;
    let mut command = Command::new(program);
    command.args(arguments);
    let mut interruptions = Interruptions::new()?;
    let Some(start) = start else { return Ok(code(supervise(&mut command, &mut interruptions).await?)) };
    let (server, names) = tokio::select! {
        started = start => started?,
        signal = interruptions.next() => return Ok(128 + signal.as_raw() as u8),
    };
    command.envs(names);
    let status = supervise(&mut command, &mut interruptions).await;
    drop(server);
    Ok(code(status?))
}

/// A node in a directory of its own; both go when this is dropped.
pub struct Broker {
    /// Where the node is and how to log in.
    pub node: Node,
    /// The port mapper and the node, or the port mapper alone.
    processes: Vec<(Process, std::process::Child)>,
    log: PathBuf,
}

impl Broker {
    /// Starts a node on free ports and waits until it can be used.
    pub async fn start() -> Result<Self> {
        let id = Uuid::new_v4().simple().to_string();
        let data = std::env::temp_dir().join(format!("omnitrace-broker-{id}"));
        let name = format!("omnitrace-{}@localhost", &id[..12]);
        let node = Node { name, data, ports: Ports::free()?, password: id };
        node.check()?;
        node.write_settings()?;
        fs::write(node.data.join("advanced.config"), EAGER_COUNTS)
            .context("cannot write RabbitMQ's settings")?;
        let mut broker = Self { log: node.data.join("rabbitmq.out"), node, processes: Vec::new() };
        broker.spawn(broker.node.epmd())?;
        broker.spawn(broker.node.server())?;
        broker.ready().await?;
        Ok(broker)
    }

    /// Ends the node at once, as a crash would; its data stays.
    pub fn kill(&mut self) {
        self.end(|process| process.kill());
    }

    /// Ends the node as an operator does; its data stays.
    pub fn stop(&mut self) {
        self.end(|process| {
            process.stop(STOP);
        });
    }

    /// Starts the node again on its data and ports, and waits until it can be used.
    pub async fn restart(&mut self) -> Result<()> {
        self.spawn(self.node.server())?;
        self.ready().await
    }

    /// Runs `rabbitmqctl` for the node.
    pub async fn control(&self, arguments: &[&str]) -> Result<()> {
        let output =
            Command::from(self.node.control(arguments)).output().await.context("cannot run rabbitmqctl")?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(
            output.status.success(),
            "`rabbitmqctl {}` failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&said).trim()
        );
        Ok(())
    }

    fn spawn(&mut self, mut command: std::process::Command) -> Result<()> {
        let (log, _) = append(&self.log)?;
        let child = spawn_detached(&mut command, Stdio::from(log.try_clone()?), log);
        let child = child.with_context(|| format!("cannot start {:?}", command.get_program()))?;
        self.processes.push((Process::of(child.id())?, child));
        Ok(())
    }

    /// The port mapper comes first and stays.
    fn end(&mut self, how: impl Fn(&Process)) {
        for (process, mut child) in self.processes.drain(1..) {
            how(&process);
            // Its status tells nothing that is needed.
            let _ = child.wait();
        }
    }

    async fn ready(&self) -> Result<()> {
        let client = http::client()?;
        let deadline = Instant::now() + START;
        while let Err(reason) = self.node.ready(&client).await {
            if Instant::now() > deadline || !self.processes.iter().all(|(process, _)| process.is_alive()) {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("the private RabbitMQ node {reason}; it said:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for (process, child) in self.processes.iter_mut().rev() {
            // Its data goes with it: there is nothing to save, and saving takes seconds.
            process.kill();
            let _ = child.wait();
        }
        // A directory that stays in /tmp is not worth an error on the way out.
        let _ = fs::remove_dir_all(&self.node.data);
    }
}

/// Runs a command to its end, and hands on the signals that ask us to end.
async fn supervise(command: &mut Command, interruptions: &mut Interruptions) -> Result<ExitStatus> {
    let mut child: Child =
        command.spawn().with_context(|| format!("cannot run {:?}", command.as_std().get_program()))?;
    let process = child.id().and_then(|pid| Process::of(pid).ok());
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            signal = interruptions.next() => if let Some(process) = process {
                process.signal(signal);
            },
        }
    }
}

/// As a shell reports it: a signal is 128 and its number.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_broker_leaves_neither_process_nor_directory() {
        let broker = Broker::start().await.unwrap();
        let processes: Vec<Process> = broker.processes.iter().map(|(process, _)| *process).collect();
        let data = broker.node.data.clone();
        assert_eq!(processes.len(), 2);
        assert!(processes.iter().all(Process::is_alive));
        drop(broker);
        assert!(!processes.iter().any(Process::is_alive));
        assert!(!data.exists());
    }

    #[tokio::test]
    async fn the_exit_code_of_the_command_is_ours() {
        let exit = |script: &str| ["sh", "-c", script].map(String::from);
        assert_eq!(run(&exit("exit 7"), true).await.unwrap(), 7);
        assert_eq!(run(&exit("kill -KILL $$"), true).await.unwrap(), 137);
    }
}
