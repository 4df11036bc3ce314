//! What a stack that runs offers: links, logins, and what to try first.

use anyhow::Result;

use super::{Kind, plan::Plan};
use crate::{
    local::{layout::link, rabbitmq},
    style::size,
};

/// A page: its name, the service and port behind it, and how to come in.
const PAGES: [(&str, &str, u16, &str); 8] = [
    ("gateway", "gateway", 3000, ""),
    ("Grafana", "grafana", 3000, "user admin, password GRAFANA_PASSWORD in .env"),
    ("Kibana", "kibana", 5601, "user elastic, password ELASTIC_PASSWORD in .env"),
    ("Jaeger", "jaeger", 16686, ""),
    ("Prometheus", "prometheus", 9090, ""),
    ("alerts", "alertmanager", 9093, ""),
    ("e-mails", "mailpit", 8025, ""),
    ("RabbitMQ", "rabbitmq", 15672, "user {user}, password AMQP_PASSWORD in .env"),
];

/// The whole text.
pub(super) fn text(plan: &Plan) -> Result<String> {
    let mut text = String::from("\n");
    let mut row = |name: &str, what: &str| text.push_str(&format!("  {name:<10} {}\n", what.trim_end()));
    for (name, service, port, login) in PAGES {
        if let Some(address) = plan.address(service, port) {
            row(name, &format!("{}   {}", link(address), login.replace("{user}", rabbitmq::USER)));
        }
    }
    row("memory", &format!("at most {}", size(plan.memory()?)));
    let gateway = plan.address("gateway", 3000).map_or_else(String::new, link);
    let trace = match plan.kinds.first() {
        // The link is long; the gateway's own page has it.
        Some(Kind::Lgtm) => "in Grafana under Explore, data source traces: its traceId".to_owned(),
        _ => plan
            .variables
            .get("TRACE_PAGE")
            .map_or_else(String::new, |page| page.replace("{traceId}", "<traceId>")),
    };
    text += &format!("\nfirst:\n  curl -X POST {gateway}/create-order\n  its trace    {trace}\n");
    text += &format!("  its e-mail   {}\n", plan.address("mailpit", 8025).map_or_else(String::new, link));
    for kind in &plan.kinds {
        let lines = match kind {
            Kind::Classic | Kind::Lgtm => "its log lines, metrics and dashboards are in Grafana",
            Kind::Elk => "its log lines are in Kibana, under Discover",
        };
        text += &format!("  {lines}\n");
    }
    text += "\nthen:\n  make doctor\n";
    for kind in &plan.kinds {
        text += &format!("  make down-{kind}\n");
    }
    Ok(text)
}
