//! Checks before anything is started: all obstacles are named at once.

use anyhow::{Context as _, Result};
use reqwest::Url;

use super::{
    LocalStack,
    layout::Component,
    rabbitmq::{self, Ports},
};
use crate::{address, output::refuse, progress::Progress};

impl LocalStack {
    pub(super) async fn check(&self, progress: &mut Progress) -> Result<()> {
        progress.begin("check ports");
        let mut problems = Vec::new();
        for component in self.layout().components().filter(|component| self.process(*component).is_none()) {
            problems.extend(self.missing(component));
            for (address, component, setting) in self.layout().listens(component) {
                let Some(obstacle) = address::obstacle(address) else { continue };
                let remedy = match setting {
                    Some(setting) => format!("stop it, or set {setting}={} in .env", address::free()?),
                    None => "stop it".into(),
                };
                problems.push(format!("{address}, for {component}, {obstacle}: {remedy}"));
            }
        }
        let broker = match self.layout().broker {
            None => format!("broker {}, named by AMQP_URL", self.named_broker(&mut problems).await?),
            Some(ports) => moved(ports).unwrap_or_else(|| "all free".into()),
        };
        refuse(&problems)?;
        progress.done(&broker);
        Ok(())
    }

    fn missing(&self, component: Component) -> Option<String> {
        let found = match (component, &self.node) {
            (Component::Rabbitmq, Some(node)) => node.check(),
            (Component::Redis, _) => self.launcher().command(component).map(drop),
            // Prometheus and Alertmanager are part of the stack only where they are installed.
            (Component::Epmd | Component::Rabbitmq | Component::Alertmanager | Component::Prometheus, _) => {
                return None;
            }
            (
                Component::Traces
                | Component::Payment
                | Component::Mailer
                | Component::Gateway
                | Component::Console,
                _,
            ) => self.launcher().binary(component).map(drop),
        };
        found.err().map(|error| error.to_string())
    }

    /// Refuses a named broker that does not answer: the services would only wait for it.
    async fn named_broker(&self, problems: &mut Vec<String>) -> Result<String> {
        let hint = "cannot use AMQP_URL: not a URL; write it like amqp://user:password@host:5672/%2f";
        let broker = Url::parse(self.amqp_url().as_deref().unwrap_or_default()).context(hint)?;
        let (host, port) = (broker.host_str().unwrap_or("localhost"), broker.port().unwrap_or(5672));
        // With TLS the port answers only after a handshake, which is left to the services.
        if broker.scheme() == "amqp"
            && let Err(reason) = rabbitmq::speaks_amqp((host, port)).await
        {
            problems.push(format!(
                "the broker that AMQP_URL names, {host}:{port}, {reason}: start it, or remove AMQP_URL to get a private one"
            ));
        }
        Ok(format!("{host}:{port}"))
    }
}

/// The usual ports of RabbitMQ that other processes use, with those chosen instead.
fn moved(ports: Ports) -> Option<String> {
    let pairs = Ports::USUAL.into_iter().zip([ports.amqp, ports.management, ports.metrics]);
    let moved: Vec<String> = pairs
        .filter(|(usual, chosen)| usual != chosen)
        .filter_map(|(usual, chosen)| {
            let obstacle = address::obstacle(rabbitmq::local(usual))?;
            Some(format!("{usual} {obstacle}, RabbitMQ gets {chosen}"))
        })
        .collect();
    (!moved.is_empty()).then(|| moved.join("; "))
}
