//! The links, logins and first commands of a running Docker stack.

use anyhow::Result;

use super::plan::Plan;
use crate::{address::link, secrets::AMQP_USER, style::size};

/// The web pages: name, service, port in the container, login.
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

/// The text for the end of `up`.
pub(super) fn text(plan: &Plan, console: Option<&str>) -> Result<String> {
    let mut text = String::from("\n");
    let mut row = |name: &str, what: &str| text.push_str(&format!("  {name:<10} {}\n", what.trim_end()));
    if let Some(link) = console {
        row("console", link);
    }
    for (name, service, port, login) in PAGES {
        if let Some(address) = plan.address(service, port) {
            row(name, &format!("{}   {}", link(address), login.replace("{user}", AMQP_USER)));
        }
    }
    row("memory", &format!("at most {}", size(plan.memory()?)));
    let gateway = plan.address("gateway", 3000).map_or_else(String::new, link);
    let trace = match plan.stacks.first().and_then(|stack| stack.facts().trace_page) {
        Some(page) => page.to_owned(),
        None => {
            let page = plan.variables.get("TRACE_PAGE");
            page.map_or_else(String::new, |page| page.replace("{traceId}", "<traceId>"))
        }
    };
    text += &format!("\nfirst:\n  curl -X POST {gateway}/create-order\n  its trace    {trace}\n");
    text += &format!("  its e-mail   {}\n", plan.address("mailpit", 8025).map_or_else(String::new, link));
    for stack in &plan.stacks {
        text += &format!("  {}\n", stack.facts().log_page);
    }
    text += "\nnext:\n  make prove\n  make doctor\n";
    for stack in &plan.stacks {
        text += &format!("  {}\n", stack.facts().stop);
    }
    Ok(text)
}
