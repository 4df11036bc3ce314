//! The pages of a stack's own servers, to which the console leads.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::{
    address::link,
    local::rabbitmq,
    stack::{Place, Places, Stack},
};

/// The pages that Docker stacks have, by the Compose services that show them.
const PAGES: [(&str, Place); 7] = [
    ("alertmanager", ("ALERTMANAGER_LISTEN", 9093)),
    ("grafana", ("GRAFANA_LISTEN", 0)),
    ("jaeger", ("JAEGER_LISTEN", 16686)),
    ("kibana", ("KIBANA_LISTEN", 5601)),
    ("mailpit", ("MAILPIT_LISTEN", 8025)),
    ("prometheus", ("PROMETHEUS_LISTEN", 9090)),
    ("rabbitmq", ("RABBITMQ_LISTEN", 15672)),
];

/// The URLs by the name of the server.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Links(BTreeMap<&'static str, String>);

impl Links {
    /// The pages of a stack.
    pub(super) fn of(stack: Stack, places: &Places) -> Result<Self> {
        let layout = places.local.layout();
        let mut links = BTreeMap::from([("gateway", link(layout.gateway))]);
        if stack == Stack::Local {
            links.extend(layout.traces.map(|traces| ("jaeger", link(traces.ui))));
            links.extend(layout.broker.map(|ports| ("rabbitmq", link(rabbitmq::local(ports.management)))));
            if let Some(watch) = layout.watch {
                links.insert("prometheus", link(watch.prometheus));
                links.insert("alertmanager", link(watch.alertmanager));
            }
            return Ok(Self(links));
        }
        let facts = stack.facts();
        let has = |name: &str| match name {
            "alertmanager" => facts.delivers_alerts,
            "grafana" => facts.grafana.is_some(),
            "kibana" => stack == Stack::Elk,
            "rabbitmq" => true,
            _ => facts.servers.iter().any(|(server, _)| *server == name),
        };
        for (name, place) in PAGES.into_iter().filter(|(name, _)| has(name)) {
            let place = if name == "grafana" { facts.grafana.unwrap_or(place) } else { place };
            links.insert(name, places.url(place)?.replace("//127.0.0.1:", "//localhost:"));
        }
        Ok(Self(links))
    }
}
