//! The components of the local stack, in the order of start, and the addresses on which they listen. A layout is chosen
//! once per stack and kept in its state: a component that is started again keeps its address.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::{installed, rabbitmq, redis};
use crate::{
    address::{self, link},
    settings::Settings,
};

/// The setting that moves the console, and its usual port.
pub(crate) const CONSOLE: (&str, u16) = ("CONSOLE_LISTEN", 3030);

/// True with `CONSOLE=on`, which `stacks up` sets unless the settings say `off`: tests and measurements go without.
pub(crate) fn is_console_wanted(settings: &Settings) -> bool {
    settings.get("CONSOLE").is_some_and(|value| value == "on")
}

/// One process of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// The port mapper of the RabbitMQ node.
    Epmd,
    /// The RabbitMQ node.
    Rabbitmq,
    /// The trace backend with Jaeger's UI.
    Traces,
    /// The store of the rate limit that gateways share.
    Redis,
    /// The payment service.
    Payment,
    /// The e-mail service.
    Mailer,
    /// The order gateway.
    Gateway,
    /// Alertmanager.
    Alertmanager,
    /// Prometheus: after those that it scrapes.
    Prometheus,
    /// The console.
    Console,
}

impl Component {
    /// All components, in the order of start.
    pub const ALL: [Self; 10] = [
        Self::Epmd,
        Self::Rabbitmq,
        Self::Traces,
        Self::Redis,
        Self::Payment,
        Self::Mailer,
        Self::Gateway,
        Self::Alertmanager,
        Self::Prometheus,
        Self::Console,
    ];
    /// The three services.
    pub const SERVICES: [Self; 3] = [Self::Payment, Self::Mailer, Self::Gateway];

    /// The name; for a service also that of its binary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epmd => "epmd",
            Self::Rabbitmq => "rabbitmq",
            Self::Traces => "traces",
            Self::Redis => "redis",
            Self::Payment => "payment",
            Self::Mailer => "mailer",
            Self::Gateway => "gateway",
            Self::Alertmanager => "alertmanager",
            Self::Prometheus => "prometheus",
            Self::Console => "console",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The addresses of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The order gateway.
    pub gateway: SocketAddr,
    /// The payment service.
    pub payment: SocketAddr,
    /// The e-mail service.
    pub mailer: SocketAddr,
    /// The stack's trace backend; none when the settings name another.
    pub traces: Option<Traces>,
    /// The stack's RabbitMQ node; none when the settings name a broker.
    pub broker: Option<rabbitmq::Ports>,
    /// Redis; none without `RATE_LIMIT=redis`.
    #[serde(default)]
    pub redis: Option<SocketAddr>,
    /// Prometheus and Alertmanager; none when they are not installed, or not wanted.
    pub watch: Option<Watch>,
    /// The console; none when it is not wanted.
    #[serde(default)]
    pub console: Option<SocketAddr>,
}

/// The addresses of Prometheus and Alertmanager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Prometheus.
    pub prometheus: SocketAddr,
    /// Alertmanager.
    pub alertmanager: SocketAddr,
}

impl Watch {
    /// The addresses in the settings, else the usual ports, or free ones where those are taken; none where this machine
    /// lacks one of both programs, or the settings switch alerts off.
    fn choose(settings: &Settings, any_free: bool) -> Result<Option<Self>> {
        if !installed::are_alerts_wanted(settings) || !installed::can_alert(settings) {
            return Ok(None);
        }
        Ok(Some(Self {
            prometheus: movable(settings, any_free, ("PROMETHEUS_LISTEN", 9090))?,
            alertmanager: movable(settings, any_free, ("ALERTMANAGER_LISTEN", 9093))?,
        }))
    }
}

/// The address in a setting, else the usual port, or a free one where that is taken.
fn movable(settings: &Settings, any_free: bool, (variable, usual): (&str, u16)) -> Result<SocketAddr> {
    match settings.get(variable) {
        Some(value) => address::parse(variable, value),
        None => match SocketAddr::from((Ipv4Addr::LOCALHOST, usual)) {
            usual if !any_free && address::obstacle(usual).is_none() => Ok(usual),
            _ => address::free(),
        },
    }
}

/// The addresses of the trace backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traces {
    /// OTLP over HTTP.
    pub otlp: SocketAddr,
    /// Jaeger's UI and query API.
    pub ui: SocketAddr,
}

impl Layout {
    /// The addresses in the settings; for the others the usual ports, or any free ones.
    pub(crate) fn choose(settings: &Settings, any_free: bool) -> Result<Self> {
        let address = |variable: &str, usual: u16| match settings.get(variable) {
            Some(value) => address::parse(variable, value),
            None if any_free => address::free(),
            None => Ok((Ipv4Addr::LOCALHOST, usual).into()),
        };
        let layout = Self {
            gateway: address("GATEWAY_LISTEN", 3000)?,
            payment: address("PAYMENT_LISTEN", 3001)?,
            mailer: address("MAILER_LISTEN", 3002)?,
            traces: match settings.contains_key("OTEL_EXPORTER_OTLP_ENDPOINT") {
                true => None,
                false => Some(Traces {
                    otlp: address("TRACES_LISTEN", 4318)?,
                    ui: address("JAEGER_LISTEN", 16686)?,
                }),
            },
            broker: match settings.contains_key("AMQP_URL") {
                true => None,
                false if any_free => Some(rabbitmq::Ports::free()?),
                false => Some(rabbitmq::Ports::usual()?),
            },
            redis: match redis::is_wanted(settings)? {
                true => Some(movable(settings, any_free, redis::LISTEN)?),
                false => None,
            },
            watch: Watch::choose(settings, any_free)?,
            console: match is_console_wanted(settings) {
                true => Some(address(CONSOLE.0, CONSOLE.1)?),
                false => None,
            },
        };
        layout.distinct()?;
        Ok(layout)
    }

    fn distinct(&self) -> Result<()> {
        let mut taken = BTreeMap::new();
        for (address, component, _) in Component::ALL.iter().flat_map(|component| self.listens(*component)) {
            if let Some(other) = taken.insert(address, component) {
                bail!("cannot use {address} for {other} and {component}; change one of them in .env");
            }
        }
        Ok(())
    }

    /// The processes that this stack consists of, in the order of start.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = Component> + use<> {
        let parts = Component::ALL.into_iter().filter(|component| !self.listens(*component).is_empty());
        parts.collect::<Vec<_>>().into_iter()
    }

    /// The address of a component, in a few words.
    pub(crate) fn describe(&self, component: Component) -> String {
        let main = self.listens(component).first().map(|(address, ..)| link(*address)).unwrap_or_default();
        match (component, &self.broker, &self.traces) {
            (Component::Epmd, Some(ports), _) => {
                format!("RabbitMQ's port mapper on 127.0.0.1:{}", ports.epmd)
            }
            (Component::Rabbitmq, Some(ports), _) => {
                let management = link(rabbitmq::local(ports.management));
                format!("amqp on 127.0.0.1:{}, management on {management}", ports.amqp)
            }
            (Component::Redis, ..) => main.replace("http://", "redis://"),
            (Component::Traces, _, Some(traces)) => format!("{main}, OTLP on {}", link(traces.otlp)),
            _ => main,
        }
    }

    /// Every address of a component, with the setting that moves it; the main one first. Empty for a component that is
    /// not part of this stack.
    pub fn listens(&self, component: Component) -> Vec<(SocketAddr, Component, Option<&'static str>)> {
        let moved = |address, setting| (address, component, Some(setting));
        let fixed = |ports: fn(&rabbitmq::Ports) -> Vec<u16>| {
            let ports = self.broker.as_ref().map(ports).unwrap_or_default();
            ports.into_iter().map(|port| (rabbitmq::local(port), component, None)).collect()
        };
        match component {
            Component::Epmd => fixed(|ports| vec![ports.epmd]),
            Component::Rabbitmq => {
                fixed(|ports| vec![ports.amqp, ports.management, ports.metrics, ports.distribution])
            }
            Component::Traces => {
                let addresses = |traces: &Traces| {
                    [moved(traces.ui, "JAEGER_LISTEN"), moved(traces.otlp, "TRACES_LISTEN")]
                };
                self.traces.iter().flat_map(addresses).collect()
            }
            Component::Redis => self.redis.iter().map(|redis| moved(*redis, redis::LISTEN.0)).collect(),
            Component::Payment => vec![moved(self.payment, "PAYMENT_LISTEN")],
            Component::Mailer => vec![moved(self.mailer, "MAILER_LISTEN")],
            Component::Gateway => vec![moved(self.gateway, "GATEWAY_LISTEN")],
            Component::Alertmanager => {
                self.watch.iter().map(|watch| moved(watch.alertmanager, "ALERTMANAGER_LISTEN")).collect()
            }
            Component::Prometheus => {
                self.watch.iter().map(|watch| moved(watch.prometheus, "PROMETHEUS_LISTEN")).collect()
            }
            Component::Console => self.console.iter().map(|console| moved(*console, CONSOLE.0)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::url;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    #[test]
    fn a_setting_moves_one_service_only() {
        let layout = Layout::choose(&settings(&[("GATEWAY_LISTEN", "0.0.0.0:8000")]), false).unwrap();
        assert_eq!(url(layout.gateway), "http://127.0.0.1:8000");
        assert_eq!(link(layout.payment), "http://localhost:3001");
    }

    #[test]
    fn a_named_broker_or_collector_replaces_ours() {
        let named = [("AMQP_URL", "amqp://b/%2f"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")];
        let layout = Layout::choose(&settings(&named), true).unwrap();
        assert_eq!(layout.components().collect::<Vec<_>>(), Component::SERVICES);
    }

    #[test]
    fn two_services_on_one_port_are_refused_by_name() {
        let both = [("GATEWAY_LISTEN", "127.0.0.1:9"), ("MAILER_LISTEN", "127.0.0.1:9")];
        let error = Layout::choose(&settings(&both), true).unwrap_err().to_string();
        assert!(error.contains("mailer and gateway"), "{error}");
    }
}
