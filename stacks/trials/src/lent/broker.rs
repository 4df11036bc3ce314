//! A private RabbitMQ node.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use stacks::{
    http,
    local::rabbitmq::{Node, Ports},
    process::{Process, append, spawn_detached},
};
use tokio::process::Command;
use uuid::Uuid;

use super::server::Server;

/// On a busy machine.
const MAX_START: Duration = Duration::from_secs(600);
const MAX_STOP: Duration = Duration::from_secs(30);

/// A node counts its messages every five seconds by default: tests would wait for that.
const EAGER_COUNTS: &str = "[{rabbit, [{quorum_tick_interval, 500}, {collect_statistics_interval, 500}]}].\n";

/// A RabbitMQ node in a directory of its own.
pub struct Broker {
    /// The addresses and the password of the node.
    pub node: Node,
    /// The port mapper and the node, or the port mapper alone.
    processes: Vec<(Process, Child)>,
    log: PathBuf,
}

impl Server for Broker {
    const VARIABLE: &'static str = "AMQP_URL";

    async fn start() -> Result<Self> {
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

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            (Self::VARIABLE, self.node.amqp_url()),
            ("RABBITMQ_MANAGEMENT_URL", self.node.management_url()),
            ("RABBITMQ_METRICS_URL", self.node.metrics_url()),
        ]
    }
}

impl Broker {
    /// Kills the node; its data stays.
    pub fn kill(&mut self) {
        self.end(|process| process.kill());
    }

    /// Shuts the node down; its data stays.
    pub fn stop(&mut self) {
        self.end(|process| {
            process.stop(MAX_STOP);
        });
    }

    /// Starts the node again with its data and ports, and waits until it can be used.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> Result<()> {
        self.spawn(self.node.server())?;
        self.ready().await
    }

    /// Runs `rabbitmqctl` for the node.
    ///
    /// # Errors
    /// When the command fails.
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

    /// Ends the node and keeps the port mapper, which is the first process.
    fn end(&mut self, how: impl Fn(&Process)) {
        for (process, mut child) in self.processes.drain(1..) {
            how(&process);
            // The wait removes the process; its status is that of the signal.
            let _ = child.wait();
        }
    }

    async fn ready(&self) -> Result<()> {
        let client = http::client()?;
        let deadline = Instant::now() + MAX_START;
        while let Err(reason) = self.node.ready(&client).await {
            if Instant::now() > deadline || !self.processes.iter().all(|(process, _)| process.is_alive()) {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("the private RabbitMQ node {reason}; its log:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for (process, child) in self.processes.iter_mut().rev() {
            // Its data is removed, and a shutdown takes seconds.
            process.kill();
            let _ = child.wait();
        }
        // A directory that stays in /tmp is not worth an error on the way out.
        let _ = fs::remove_dir_all(&self.node.data);
    }
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
}
