//! Follows the links between Grafana's data sources for one order: their targets must exist, and their queries must find
//! the order.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::time::sleep;

use super::{
    orders::Placed,
    report::{Check, Missing},
};
use crate::{
    backends::grafana::{DataSource, Grafana},
    logs::SERVICES,
};

const PAUSE: Duration = Duration::from_millis(250);

/// The links that are followed.
const LINKS: [&str; 4] = ["exemplar to trace", "log line to trace", "trace to log lines", "trace to metrics"];

/// The check that every link finds its target within this time.
pub(super) async fn follow(grafana: &Grafana, placed: &Placed, within: Duration) -> Check {
    let begun = Instant::now();
    let mut missing = Missing::default();
    let mut took = Vec::new();
    for link in LINKS {
        loop {
            match follow_link(grafana, link, placed).await {
                Ok(()) => break took.push(begun.elapsed()),
                Err(error) if begun.elapsed() > within => {
                    break missing
                        .add(&format!("Grafana's link from {link}: {error:#}"), &placed.order.order_id);
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
    Check::each("links in Grafana", (took.len(), LINKS.len()), took, missing)
}

async fn follow_link(grafana: &Grafana, link: &str, placed: &Placed) -> Result<()> {
    let sources = Sources(grafana.data_sources().await?);
    sources.all_exist()?;
    let trace_id = &placed.order.trace_id;
    match link {
        "exemplar to trace" => {
            let named = &sources.get("metrics")?.json_data["exemplarTraceIdDestinations"];
            leads_to_trace(grafana, sources.target(named, "name")?, trace_id).await
        }
        "log line to trace" => {
            let named = &sources.get("logs")?.json_data["derivedFields"];
            leads_to_trace(grafana, sources.target(named, "matcherRegex")?, trace_id).await
        }
        "trace to log lines" => {
            let link = &sources.get("traces")?.json_data["tracesToLogsV2"];
            let query = link["query"].as_str().context("it has no query")?;
            let query = query.replace("${__trace.traceId}", trace_id);
            let lines = grafana.logs(sources.named(link)?).query(&query).await?;
            let silent = SERVICES.iter().find(|service| !lines.iter().any(|line| line.service == **service));
            ensure!(silent.is_none(), "`{query}` finds no line of {}", silent.copied().unwrap_or_default());
            Ok(())
        }
        _ => {
            let link = &sources.get("traces")?.json_data["tracesToMetrics"];
            leads_to_metrics(grafana, sources.named(link)?, link).await
        }
    }
}

async fn leads_to_trace(grafana: &Grafana, source: &DataSource, id: &str) -> Result<()> {
    let trace = grafana.traces(source)?.trace(id).await?;
    ensure!(trace.is_some(), "the data source {} knows no trace {id}", source.uid);
    Ok(())
}

/// Checks that every query finds something for at least one service.
async fn leads_to_metrics(grafana: &Grafana, source: &DataSource, link: &Value) -> Result<()> {
    let metrics = grafana.metrics(source);
    let label = link["tags"][0]["value"].as_str().context("it has no tag")?;
    let queries = link["queries"].as_array().context("it has no queries")?;
    for query in queries.iter().filter_map(|query| query["query"].as_str()) {
        let mut answered = false;
        for service in SERVICES {
            let tags = format!("{label}=\"{service}\"");
            let query = query.replace("${__tags}", &tags).replace("$__tags", &tags);
            answered |= metrics.answers(&query).await?;
        }
        ensure!(answered, "`{query}` finds nothing for any service");
    }
    Ok(())
}

struct Sources(Vec<DataSource>);

impl Sources {
    fn get(&self, uid: &str) -> Result<&DataSource> {
        let source = self.0.iter().find(|source| source.uid == uid);
        source.with_context(|| format!("there is no data source with the uid {uid}"))
    }

    /// The data source that a link names.
    fn named(&self, link: &Value) -> Result<&DataSource> {
        self.get(link["datasourceUid"].as_str().context("it names no data source")?)
    }

    /// The data source of the link for the label `trace_id`.
    fn target(&self, links: &Value, label: &str) -> Result<&DataSource> {
        let links = links.as_array().map_or(&[][..], Vec::as_slice);
        let link = links.iter().find(|link| link[label] == "trace_id");
        self.named(link.context("there is no link for the label trace_id")?)
    }

    /// Refuses a data source that names one which does not exist.
    fn all_exist(&self) -> Result<()> {
        for source in &self.0 {
            for uid in uids(&source.json_data) {
                if self.get(uid).is_err() {
                    bail!("the data source {} names {uid}, which does not exist", source.uid);
                }
            }
        }
        Ok(())
    }
}

/// The uids of data sources at any depth of a value.
fn uids(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value) {
                ("datasourceUid" | "alertmanagerUid", Value::String(uid)) => vec![uid.as_str()],
                (_, value) => uids(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(uids).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, routing::any};
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;
    use crate::orders::Order;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn data_sources() -> Value {
        json!([
            {"uid": "metrics", "type": "prometheus", "jsonData": {
                "exemplarTraceIdDestinations": [{"name": "trace_id", "datasourceUid": "traces"}]}},
            {"uid": "logs", "type": "loki", "jsonData": {
                "derivedFields": [{"matcherType": "label", "matcherRegex": "trace_id", "datasourceUid": "traces"}]}},
            {"uid": "traces", "type": "tempo", "jsonData": {
                "tracesToLogsV2": {"datasourceUid": "logs", "query": "{a=\"b\"} | trace_id = \"${__trace.traceId}\""},
                "tracesToMetrics": {
                    "datasourceUid": "metrics", "tags": [{"key": "service.name", "value": "job"}],
                    "queries": [{"query": "sum(rate(x{$__tags}[1m]))"}]}}},
        ])
    }

    /// A stand-in for Grafana: its data sources, and the answers of the backends behind it.
    async fn grafana(sources: Value) -> Grafana {
        let line =
            |service| json!({"stream": {"service_name": service, "trace_id": TRACE}, "values": [["1", ""]]});
        let lines = json!({"data": {"result": SERVICES.map(line)}});
        let span = json!({"spanId": "", "name": "", "startTimeUnixNano": "1", "endTimeUnixNano": "2"});
        let trace = json!({"trace": {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}});
        let value = json!({"status": "success", "data": {"result": [{"value": [1.0, "2"]}]}});
        let answer = |value: Value| any(async move || Json(value.clone()));
        let proxy = |path: &str| format!("/api/datasources/proxy/uid/{path}");
        let pages = Router::new()
            .route("/api/datasources", answer(sources))
            .route(&proxy(&format!("traces/api/v2/traces/{TRACE}")), answer(trace))
            .route(&proxy("logs/loki/api/v1/query_range"), answer(lines))
            .route(&proxy("metrics/api/v1/query"), answer(value));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, pages).await });
        Grafana::new(url, "secret").unwrap()
    }

    async fn followed(sources: Value) -> String {
        let order = Order { order_id: "o-1".into(), trace_id: TRACE.into() };
        let placed = Placed { order, at: Instant::now() };
        let check = follow(&grafana(sources).await, &placed, Duration::from_millis(1)).await;
        check.problems().join("\n")
    }

    #[tokio::test]
    async fn links_that_find_the_order_are_good() {
        assert_eq!(followed(data_sources()).await, "");
    }

    #[tokio::test]
    async fn a_link_without_its_target_is_named() {
        let mut sources = data_sources();
        sources[0]["jsonData"]["exemplarTraceIdDestinations"][0]["datasourceUid"] = json!("tempo");
        let problems = followed(sources).await;
        assert!(problems.contains("the data source metrics names tempo, which does not exist"), "{problems}");

        let mut sources = data_sources();
        sources[1]["jsonData"]["derivedFields"][0]["matcherRegex"] = json!("traceid");
        let problems = followed(sources).await;
        let expected = "Grafana's link from log line to trace: there is no link for the label trace_id";
        assert_eq!(problems, expected);

        let mut sources = data_sources();
        sources[2]["jsonData"]["tracesToLogsV2"].as_object_mut().unwrap().remove("query");
        assert_eq!(followed(sources).await, "Grafana's link from trace to log lines: it has no query");
    }
}
