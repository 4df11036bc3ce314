//! What is looked at before anything is started, so that all that stands in the way is named at once.

use anyhow::{Context as _, Result, bail};
use reqwest::Url;

use super::{
    Stack,
    layout::Component,
    ports,
    rabbitmq::{self, Ports},
};
use crate::progress::Progress;

impl Stack {
    pub(super) async fn check(&self, progress: &mut Progress) -> Result<()> {
        progress.begin("check");
        let mut problems = Vec::new();
        for component in self.layout().components().filter(|component| self.process(*component).is_none()) {
            problems.extend(self.missing(component));
            for (address, component, setting) in self.layout().listens(component) {
                let Some(obstacle) = ports::obstacle(address) else { continue };
                let remedy = match setting {
                    Some(setting) => format!("stop it, or set {setting}={} in .env", ports::free()?),
                    None => "stop it".into(),
                };
                problems.push(format!("{address}, for {component}, {obstacle}: {remedy}"));
            }
        }
        let broker = match self.layout().broker {
            None => format!("broker {}, named by AMQP_URL", self.named_broker(&mut problems).await?),
            Some(ports) => moved(ports).unwrap_or_else(|| "nothing in the way".into()),
        };
        match problems.as_slice() {
            [] => progress.done(&broker),
            [one] => bail!("{one}"),
            many => {
                bail!("{} things stand in the way, nothing was started:\n  {}", many.len(), many.join("\n  "))
            }
        }
        Ok(())
    }

    fn missing(&self, component: Component) -> Option<String> {
        let found = match (component, &self.node) {
            (Component::Rabbitmq, Some(node)) => node.check(),
            // The other two are part of the stack only where they are installed.
            (Component::Epmd | Component::Rabbitmq | Component::Alertmanager | Component::Prometheus, _) => {
                return None;
            }
            (Component::Traces | Component::Payment | Component::Mailer | Component::Gateway, _) => {
                self.recipe().binary(component).map(drop)
            }
        };
        found.err().map(|error| error.to_string())
    }

    /// A broker that the user has named must be there already: the services would only wait for it.
    async fn named_broker(&self, problems: &mut Vec<String>) -> Result<String> {
        let hint = "AMQP_URL is no URL; write it like amqp://user:password@host:5672/%2f";
        let broker = Url::parse(self.amqp_url().as_deref().unwrap_or_default()).context(hint)?;
        let (host, port) = (broker.host_str().unwrap_or("localhost"), broker.port().unwrap_or(5672));
        // With TLS the port answers only after a handshake that is the services' business.
        if broker.scheme() == "amqp"
            && let Err(reason) = rabbitmq::speaks_amqp((host, port)).await
        {
            problems.push(format!("the broker that AMQP_URL names, {host}:{port}, {reason}: start it, or remove AMQP_URL to get a private one"));
        }
        Ok(format!("{host}:{port}"))
    }
}

/// Which of the usual ports of RabbitMQ are taken by somebody else.
fn moved(ports: Ports) -> Option<String> {
    let pairs = Ports::USUAL.into_iter().zip([ports.amqp, ports.management, ports.metrics]);
    let moved: Vec<String> = pairs
        .filter(|(usual, chosen)| usual != chosen)
        .filter_map(|(usual, chosen)| {
            let obstacle = ports::obstacle(rabbitmq::local(usual))?;
            Some(format!("{usual} {obstacle}, RabbitMQ gets {chosen}"))
        })
        .collect();
    (!moved.is_empty()).then(|| moved.join("; "))
}
