//! Who is part of the local stack, in the order of start, and where each listens. Chosen once per
//! stack and kept in its state: whoever is started again comes back to the same place.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::{ports, rabbitmq, watch::Watch};

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
    /// The payment service.
    Payment,
    /// The e-mail service.
    Mailer,
    /// The order gateway.
    Gateway,
    /// Alertmanager.
    Alertmanager,
    /// Prometheus: last, so that it finds the others.
    Prometheus,
}

impl Component {
    /// All of them, in the order of start.
    pub const ALL: [Self; 8] = [
        Self::Epmd,
        Self::Rabbitmq,
        Self::Traces,
        Self::Payment,
        Self::Mailer,
        Self::Gateway,
        Self::Alertmanager,
        Self::Prometheus,
    ];
    /// Those that are ours to observe.
    pub const SERVICES: [Self; 3] = [Self::Payment, Self::Mailer, Self::Gateway];

    /// Its name, for people; for a service also the name of its binary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epmd => "epmd",
            Self::Rabbitmq => "rabbitmq",
            Self::Traces => "traces",
            Self::Payment => "payment",
            Self::Mailer => "mailer",
            Self::Gateway => "gateway",
            Self::Alertmanager => "alertmanager",
            Self::Prometheus => "prometheus",
        }
    }

    /// The setting that moves it to another port.
    pub fn setting(self) -> Option<&'static str> {
        match self {
            Self::Epmd | Self::Rabbitmq => None,
            Self::Traces => Some("TRACES_LISTEN"),
            Self::Payment => Some("PAYMENT_LISTEN"),
            Self::Mailer => Some("MAILER_LISTEN"),
            Self::Gateway => Some("GATEWAY_LISTEN"),
            Self::Alertmanager => Some("ALERTMANAGER_LISTEN"),
            Self::Prometheus => Some("PROMETHEUS_LISTEN"),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where the stack listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The order gateway.
    pub gateway: SocketAddr,
    /// The payment service.
    pub payment: SocketAddr,
    /// The e-mail service.
    pub mailer: SocketAddr,
    /// Our trace backend; none when the settings name another.
    pub traces: Option<Traces>,
    /// Our RabbitMQ node; none when the settings name a broker.
    pub broker: Option<rabbitmq::Ports>,
    /// Prometheus and Alertmanager; none when they are not installed, or not wanted.
    pub watch: Option<Watch>,
}

/// Where the trace backend listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traces {
    /// OTLP over HTTP.
    pub otlp: SocketAddr,
    /// Jaeger's UI and query API.
    pub ui: SocketAddr,
}

impl Layout {
    /// The places that the settings name; for the rest the usual ports, or any free ones.
    pub fn choose(settings: &BTreeMap<String, String>, any_free: bool) -> Result<Self> {
        let address = |variable: &str, usual: u16| match settings.get(variable) {
            Some(value) => ports::parse(variable, value),
            None if any_free => ports::free(),
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
            watch: Watch::choose(settings, any_free)?,
        };
        layout.distinct()?;
        Ok(layout)
    }

    fn distinct(&self) -> Result<()> {
        let mut taken = BTreeMap::new();
        for (address, component, _) in Component::ALL.iter().flat_map(|component| self.listens(*component)) {
            if let Some(other) = taken.insert(address, component) {
                bail!("{other} and {component} are both set to {address}; change one of them in .env");
            }
        }
        Ok(())
    }

    /// The processes that this stack consists of, in the order of start.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = Component> + use<> {
        let (broker, traces, watch) = (self.broker.is_some(), self.traces.is_some(), self.watch.is_some());
        Component::ALL.into_iter().filter(move |component| match component {
            Component::Epmd | Component::Rabbitmq => broker,
            Component::Traces => traces,
            Component::Payment | Component::Mailer | Component::Gateway => true,
            Component::Alertmanager | Component::Prometheus => watch,
        })
    }

    /// Where a component is, in a few words.
    pub fn describe(&self, component: Component) -> String {
        match (component, &self.broker, &self.traces) {
            (Component::Prometheus | Component::Alertmanager, ..) => match self.listens(component).first() {
                Some((address, ..)) => link(*address),
                None => "not part of this stack".into(),
            },
            (Component::Rabbitmq, Some(ports), _) => {
                format!(
                    "amqp on 127.0.0.1:{}, management on {}",
                    ports.amqp,
                    link(rabbitmq::local(ports.management))
                )
            }
            (Component::Traces, _, Some(traces)) => {
                format!("{}, OTLP on {}", link(traces.ui), link(traces.otlp))
            }
            (Component::Epmd, Some(ports), _) => {
                format!("RabbitMQ's port mapper on 127.0.0.1:{}", ports.epmd)
            }
            (Component::Payment, ..) => link(self.payment),
            (Component::Mailer, ..) => link(self.mailer),
            (Component::Gateway, ..) => link(self.gateway),
            (Component::Epmd | Component::Rabbitmq | Component::Traces, ..) => {
                "not part of this stack".into()
            }
        }
    }

    /// Every address that a component needs, with the setting that moves it; the main one first.
    pub fn listens(&self, component: Component) -> Vec<(SocketAddr, Component, Option<&'static str>)> {
        let setting = component.setting();
        let broker = |ports: fn(&rabbitmq::Ports) -> Vec<u16>| {
            let ports = self.broker.as_ref().map(ports).unwrap_or_default();
            ports.into_iter().map(|port| (rabbitmq::local(port), component, None)).collect()
        };
        let watch = |place: fn(&Watch) -> SocketAddr| {
            self.watch.iter().map(|watch| (place(watch), component, setting)).collect()
        };
        match component {
            Component::Epmd => broker(|ports| vec![ports.epmd]),
            Component::Rabbitmq => {
                broker(|ports| vec![ports.amqp, ports.management, ports.metrics, ports.distribution])
            }
            Component::Traces => self
                .traces
                .iter()
                .flat_map(|traces| {
                    [(traces.ui, component, Some("JAEGER_LISTEN")), (traces.otlp, component, setting)]
                })
                .collect(),
            Component::Payment => vec![(self.payment, component, setting)],
            Component::Mailer => vec![(self.mailer, component, setting)],
            Component::Gateway => vec![(self.gateway, component, setting)],
            Component::Alertmanager => watch(|watch| watch.alertmanager),
            Component::Prometheus => watch(|watch| watch.prometheus),
        }
    }
}

/// The URL under which a program on this machine reaches an address.
pub fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// The same for people: `localhost` where it means the same.
pub fn link(address: SocketAddr) -> String {
    url(address).replace("//127.0.0.1:", "//localhost:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    #[test]
    fn a_setting_moves_a_service_and_the_rest_stays_usual() {
        let layout = Layout::choose(&settings(&[("GATEWAY_LISTEN", "0.0.0.0:8000")]), false).unwrap();
        assert_eq!(url(layout.gateway), "http://127.0.0.1:8000");
        assert_eq!(link(layout.payment), "http://localhost:3001");
    }

    #[test]
    fn an_existing_broker_or_collector_means_none_of_ours() {
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
