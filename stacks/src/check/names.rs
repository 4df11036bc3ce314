//! Metrics, fields and attributes in queries and documents, compared with the registry and the metrics of the broker.

use std::collections::BTreeSet;

use super::{
    files::Tree,
    findings::Findings,
    grafana,
    promql::selectors,
    queries::{blocks, compared, quoted},
    rules::rules,
};
use crate::registry::{FORM, Registry};

/// Metrics of Prometheus itself, and those that Tempo and Jaeger derive from spans.
const MADE_ELSEWHERE: [&str; 11] = [
    "up",
    "ALERTS",
    "scrape_duration_seconds",
    "traces_service_graph_request_total",
    "traces_service_graph_request_failed_total",
    "traces_service_graph_request_server_seconds_bucket",
    "traces_service_graph_request_client_seconds_bucket",
    "traces_spanmetrics_calls_total",
    "traces_spanmetrics_latency_bucket",
    "traces_span_metrics_calls_total",
    "traces_span_metrics_duration_seconds_bucket",
];

/// Labels and metadata that Loki adds to a record's attributes.
const LOKI: [&str; 6] =
    ["service_name", "deployment_environment_name", "detected_level", "trace_id", "span_id", "severity_text"];

/// The intrinsic fields of TraceQL.
const INTRINSIC: [&str; 7] = ["span", "trace", "name", "status", "kind", "duration", "resource.service.name"];

/// The endings by which metrics are recognised in prose.
const ENDS: [&str; 10] = [
    "_total",
    "_seconds",
    "_bytes",
    "_info",
    "_requests",
    "_queued",
    "_pending",
    "_connected",
    "_watermark",
    "_fds",
];

/// Documents about the past may name removed metrics.
const HISTORY: &str = "CHANGELOG.md";

/// The names that queries may use.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Metrics, families and samples alike.
    metrics: BTreeSet<String>,
    /// Fields of log lines.
    fields: BTreeSet<String>,
    /// Attributes of spans.
    attributes: BTreeSet<String>,
}

impl Known {
    /// The names in the registry.
    pub fn of(registry: &Registry) -> Self {
        let metrics = registry.metrics.iter();
        let (lines, spans) = (registry.events.iter(), registry.spans.iter());
        let lines = lines.flat_map(|event| &event.entry.uses).map(|used| used.key.clone());
        Self {
            metrics: metrics
                .flat_map(|metric| [vec![metric.page_name.clone()], metric.samples()].concat())
                .collect(),
            fields: lines.chain(FORM.map(str::to_owned)).collect(),
            attributes: spans.flat_map(|span| &span.entry.uses).map(|used| used.key.clone()).collect(),
        }
    }

    /// Adds the names on a page of metrics that is not ours, in the text format of Prometheus.
    pub fn note_page(&mut self, page: &str) {
        for line in page.lines().filter(|line| !line.is_empty()) {
            let name = match line.strip_prefix("# TYPE ") {
                Some(family) => family.split(' ').next(),
                None if line.starts_with('#') => None,
                None => line.split(['{', ' ']).next(),
            };
            self.metrics.extend(name.map(str::to_owned));
        }
    }

    fn unknown_in_logql<'a>(&self, query: &'a str) -> Option<&'a str> {
        let is_known = |name: &str| {
            LOKI.contains(&name) || self.fields.iter().any(|field| field.replace('.', "_") == name)
        };
        compared(query).into_iter().find(|name| !is_known(name))
    }

    fn unknown_in_traceql<'a>(&self, query: &'a str) -> Option<&'a str> {
        let is_known = |name: &str| {
            INTRINSIC.contains(&name)
                || name.strip_prefix("span.").is_some_and(|name| self.attributes.contains(name))
        };
        compared(query).into_iter().find(|name| !is_known(name))
    }

    fn unknown_in_kql<'a>(&self, query: &'a str) -> Option<&'a str> {
        compared(query).into_iter().find(|name| !self.fields.contains(*name))
    }
}

/// Checks that every metric, field and attribute in a dashboard, a rule or a document exists.
pub(super) fn check(tree: &Tree, known: &Known, findings: &mut Findings) {
    let rules = rules(tree);
    let recorded: BTreeSet<&str> = rules.iter().filter_map(|rule| rule.record.as_deref()).collect();
    let is_metric = |name: &str| {
        known.metrics.contains(name) || recorded.contains(name) || MADE_ELSEWHERE.contains(&name)
    };
    let promql = |file: &str, place: &str, expression: &str, findings: &mut Findings| {
        for selector in selectors(expression).iter().filter(|selector| !is_metric(&selector.metric)) {
            findings.add(file, format!("{place} asks for {}, which no service has", selector.metric));
        }
    };
    for rule in &rules {
        let name = rule.alert.as_ref().or(rule.record.as_ref()).map_or("a rule", String::as_str);
        promql(&rule.file, name, &rule.expr, findings);
    }
    for query in grafana::queries(tree) {
        let place = format!("the panel {:?}", query.panel);
        match query.source.as_str() {
            "metrics" => promql(&query.file, &place, &query.text.replace("$__", ""), findings),
            "logs" => unknown(&query.file, known.unknown_in_logql(&query.text), findings),
            // An id, or a search in Jaeger's own form.
            "traces" if !query.text.starts_with('{') => {}
            "traces" => unknown(&query.file, known.unknown_in_traceql(&query.text), findings),
            _ => {}
        }
    }
    for stack in grafana::stacks() {
        let file = grafana::sources_of(stack);
        for (_, value) in tree.values(&file) {
            super::files::visit(value, &mut |value| {
                let expression = value["query"].as_str().filter(|text| text.contains("$$__tags"));
                if let Some(expression) = expression {
                    promql(&file, "a link", &expression.replace("$$__tags", ""), findings);
                }
            });
        }
    }
    for (file, text) in tree.texts("").filter(|(file, _)| file.ends_with(".md") && *file != HISTORY) {
        blocks(text, "promql").for_each(|query| promql(file, "a query", query, findings));
        blocks(text, "logql").for_each(|query| unknown(file, known.unknown_in_logql(query), findings));
        blocks(text, "traceql").for_each(|query| unknown(file, known.unknown_in_traceql(query), findings));
        blocks(text, "kql").for_each(|query| unknown(file, known.unknown_in_kql(query), findings));
        for name in quoted(text).filter_map(metric).filter(|name| !is_metric(name)) {
            findings.add(file, format!("names {name}, which no service has"));
        }
    }
}

fn unknown(file: &str, name: Option<&str>, findings: &mut Findings) {
    if let Some(name) = name {
        findings.add(file, format!("a query compares {name}, which no log line or span has"));
    }
}

/// The name in front of braces, if it is like that of a metric.
fn metric(quoted: &str) -> Option<&str> {
    let name = quoted.split('{').next()?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (name.chars().all(plain) && ENDS.iter().any(|end| name.len() > end.len() && name.ends_with(end)))
        .then_some(name)
}
