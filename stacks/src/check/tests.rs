//! A small repository without problems, and the finding for each problem that is planted in it.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{
    Findings, contract,
    files::Tree,
    grafana,
    names::{self, Known},
    prometheus, rules,
};

const SOURCES: &str = r#"
apiVersion: 1
datasources:
  - { uid: metrics, type: prometheus, jsonData: { exemplarTraceIdDestinations: [{ name: trace_id, datasourceUid: traces }] } }
  - { uid: logs, type: loki, jsonData: { derivedFields: [{ datasourceUid: traces, url: "$${__value.raw}" }, { url: "/d/orders" }] } }
  - { uid: traces, type: tempo, jsonData: { tracesToMetrics: { queries: [{ query: "rate(orders_total{$$__tags}[1m])" }] } } }
"#;

const BOARD: &str = r#"{
  "uid": "orders", "links": [{ "url": "/d/orders?from=now" }],
  "panels": [
    { "id": 1, "type": "row", "title": "Orders", "gridPos": { "x": 0, "y": 0, "w": 24, "h": 1 } },
    { "id": 2, "type": "stat", "title": "Rate", "description": "Orders.", "datasource": { "uid": "metrics" },
      "gridPos": { "x": 0, "y": 1, "w": 12, "h": 4 },
      "targets": [{ "refId": "A", "expr": "sum(rate(orders_total{outcome=\"paid\"}[$__rate_interval])) / orders:rate5m" }] },
    { "id": 3, "type": "logs", "title": "Lines", "description": "Lines.", "datasource": { "uid": "logs" },
      "gridPos": { "x": 12, "y": 1, "w": 12, "h": 4 },
      "targets": [{ "refId": "A", "expr": "{service_name=\"gateway\"} | order_id = \"1\"" }] },
    { "id": 4, "type": "table", "title": "Traces", "description": "Traces.", "datasource": { "uid": "traces" },
      "gridPos": { "x": 0, "y": 5, "w": 24, "h": 4 }, "targets": [{ "refId": "A", "query": "{ span.order.id = \"1\" }" }] }
  ]
}"#;

const RULES: &str = r#"
groups:
  - name: orders
    rules:
      - { record: "orders:rate5m", expr: "sum(rate(orders_total[5m]))" }
      - alert: NoOrders
        expr: orders:rate5m == 0 or up == 0
        labels: { severity: page, service: gateway }
        annotations: { summary: No orders, description: "{{ $value }} orders", runbook_url: docs/runbooks/NoOrders.md }
"#;

const TESTS: &str = r#"
rule_files: [../rules/orders.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series: [{ series: orders_total, values: "0+60x10 600x20" }]
    alert_rule_test:
      - { eval_time: 5m30s, alertname: NoOrders, exp_alerts: [] }
      - eval_time: 25m30s
        alertname: NoOrders
        exp_alerts:
          - exp_labels: { severity: page, service: gateway }
            exp_annotations: { summary: No orders, description: 0 orders, runbook_url: docs/runbooks/NoOrders.md }
"#;

const RUNBOOK: &str = r#"# NoOrders
See `orders_total{outcome}` first.
```promql
orders_total
```
```logql
{detected_level="error"} | order_id != ""
```
```traceql
{ span.order.id = "1" && resource.service.name = "gateway" && span:duration > 1s }
```
```kql
order.id : "1"
```
"#;

const ALERTMANAGER: &str = "route: { receiver: a }\nreceivers: [{ name: a }]\n";
const SCRAPE: &str =
    "scrape_configs:\n  - job_name: gateway\n    static_configs: [{ targets: ['gateway:3000'] }]\n";
const CONFIG: &str = "scrape_config_files: [scrape/gateway.yaml]\nrule_files: [rules/*.yaml]\n";
const AGENT: &str =
    "scrape_config_files: [scrape/gateway.yaml]\nremote_write: [{ url: 'http://mimir/push' }]\n";

const SIGNALS: &str = r#"
groups:
  - id: registry.order
    type: attribute_group
    brief: Attributes of orders.
    attributes:
      - { id: order.id, type: string, brief: The order. }
      - { id: outcome, type: string, brief: The outcome. }
  - id: span.order
    type: span
    span_kind: internal
    stability: stable
    brief: An order.
    annotations: { names: [order] }
    attributes: [{ ref: order.id }]
  - id: metric.orders
    type: metric
    metric_name: orders
    instrument: counter
    unit: ""
    stability: stable
    brief: Orders.
    attributes: [{ ref: outcome, requirement_level: required }]
  - id: event.order.placed
    type: event
    name: order.placed
    stability: stable
    brief: An order was placed.
    annotations: { message: placed, levels: [info] }
    attributes: [{ ref: order.id }]
"#;

const METRICS: &str = "<!-- registry: metrics all -->
| metric | unit | labels | meaning |
|---|---|---|---|
| `orders_total` | | `outcome` | Orders |
<!-- end -->
";

const FILES: [(&str, &str); 14] = [
    ("docs/metrics.md", METRICS),
    ("docs/runbooks/NoOrders.md", RUNBOOK),
    ("docs/telemetry/conventions.yaml", "groups: []"),
    ("docs/telemetry/registry/signals.yaml", SIGNALS),
    ("stacks/alertmanager/alertmanager.yaml", ALERTMANAGER),
    ("stacks/grafana/classic/datasources.yaml", SOURCES),
    ("stacks/grafana/dashboards/orders.json", BOARD),
    ("stacks/grafana/dashboards/other.json", r#"{ "uid": "other" }"#),
    ("stacks/grafana/lgtm/datasources.yaml", SOURCES),
    ("stacks/prometheus/agent.yaml", AGENT),
    ("stacks/prometheus/classic.yaml", CONFIG),
    ("stacks/prometheus/rules/orders.yaml", RULES),
    ("stacks/prometheus/scrape/gateway.yaml", SCRAPE),
    ("stacks/prometheus/tests/orders.yaml", TESTS),
];

fn repository() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in FILES {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// The problems of a repository, without running services; with promtool and amtool if they are asked.
fn found(root: &Path, are_asked: bool) -> Vec<String> {
    let mut findings = Findings::default();
    let tree = Tree::read(root, &mut findings).unwrap();
    let registry = contract::read(&tree, &mut findings);
    contract::check_documents(&tree, &registry, &mut findings);
    rules::check(&tree, &mut findings);
    grafana::check(&tree, &mut findings);
    names::check(&tree, &Known::of(&registry), &mut findings);
    if are_asked {
        prometheus::check_prometheus(&tree, &mut findings).unwrap();
        prometheus::check_alertmanager(&tree, &mut findings).unwrap();
        prometheus::run_rule_tests(&tree, &mut findings).unwrap();
    }
    findings.all().iter().map(ToString::to_string).collect()
}

#[test]
fn a_repository_without_problems_has_no_findings() {
    let found = found(repository().path(), true);
    assert!(found.is_empty(), "{found:#?}");
}

/// The file, the text that is replaced, its replacement, and a part of the expected finding.
const BROKEN: [(&str, &str, &str, &str); 42] = [
    ("grafana/dashboards/orders.json", "\"panels\": [", "\"panels\": ", "is not well formed"),
    ("grafana/lgtm/datasources.yaml", "datasources:", "datasources: [", "is not well formed"),
    ("grafana/dashboards/orders.json", "rate(orders_total", "rate(order_total", "asks for order_total"),
    ("grafana/dashboards/orders.json", "orders:rate5m", "orders:rate6m", "asks for orders:rate6m"),
    ("grafana/dashboards/orders.json", "order_id =", "orderId =", "compares orderId"),
    ("grafana/dashboards/orders.json", "\"uid\": \"logs\"", "\"uid\": \"loki\"", "no data source \"loki\""),
    ("grafana/dashboards/orders.json", "/d/orders", "/d/payments", "leads to the dashboard \"payments\""),
    ("grafana/dashboards/orders.json", "\"description\": \"Orders.\",", "", "\"Rate\" has no description"),
    (
        "grafana/dashboards/orders.json",
        "\"x\": 12, \"y\": 1",
        "\"x\": 11, \"y\": 1",
        "\"Lines\" overlaps \"Rate\"",
    ),
    ("grafana/dashboards/orders.json", "\"x\": 12, \"y\": 1", "\"x\": 13, \"y\": 1", "does not fit"),
    ("grafana/dashboards/orders.json", "\"id\": 3", "\"id\": 2", "\"Lines\" has no id of its own"),
    ("grafana/dashboards/other.json", "other", "orders", "has the uid \"orders\", too"),
    ("grafana/classic/datasources.yaml", "$${__value", "${__value", "Grafana would replace the `$`"),
    ("grafana/dashboards/orders.json", "span.order.id", "span.order_id", "compares span.order_id,"),
    ("grafana/classic/datasources.yaml", "/d/orders", "/d/order", "leads to the dashboard \"order\""),
    ("grafana/classic/datasources.yaml", "orders_total", "order_total", "asks for order_total"),
    ("grafana/classic/datasources.yaml", "uid: traces", "uid: jaeger", "names \"traces\""),
    (
        "grafana/lgtm/datasources.yaml",
        "uid: logs",
        "uid: loki",
        "stacks/grafana: the stacks have different data sources",
    ),
    ("prometheus/rules/orders.yaml", "severity: page", "severity: urgent", "a severity other than"),
    ("prometheus/rules/orders.yaml", ", service: gateway", "", "which service it is about"),
    ("prometheus/rules/orders.yaml", "{{ $value }}", "no", "no description with the value"),
    ("prometheus/rules/orders.yaml", "runbooks/NoOrders", "runbooks/Orders", "no runbook"),
    ("prometheus/rules/orders.yaml", "orders_total[5m]", "orders_totals[5m]", "asks for orders_totals"),
    ("prometheus/rules/orders.yaml", "sum(rate", "sum(rat", "promtool says"),
    ("prometheus/rules/orders.yaml", "== 0 or", "== 7 or", "promtool says"),
    (
        "prometheus/tests/orders.yaml",
        "exp_alerts: []",
        "exp_alerts: [{}]",
        "no test in which it does not fire",
    ),
    ("prometheus/classic.yaml", "scrape/gateway", "scrape/payment", "cannot read"),
    ("prometheus/agent.yaml", "remote_write", "remote_writes", "promtool says"),
    ("prometheus/scrape/gateway.yaml", "job_name", "job", "classic.yaml: promtool says"),
    ("alertmanager/alertmanager.yaml", "receiver: a", "receiver: b", "amtool says"),
    ("../docs/runbooks/NoOrders.md", "`orders_total{", "`order_total{", "names order_total"),
    ("../docs/runbooks/NoOrders.md", "\norders_total\n", "\norder_total\n", "a query asks for order_total"),
    ("../docs/runbooks/NoOrders.md", "span.order.id", "span.order", "compares span.order,"),
    ("../docs/runbooks/NoOrders.md", "order.id :", "orders.id :", "compares orders.id,"),
    ("../docs/metrics.md", "| Orders |", "| Payments |", "metrics.md: differs from the registry"),
    (
        "../docs/metrics.md",
        "metrics all",
        "metrics some",
        "metrics.md: the registry has no table `metrics some`",
    ),
    (
        "../docs/telemetry/registry/signals.yaml",
        "metric_name: orders",
        "metric_name: sales",
        "orders.json: the panel",
    ),
    ("../docs/telemetry/registry/signals.yaml", "brief: Orders.", "brief: Sales.", "metrics.md: differs"),
    (
        "../docs/telemetry/registry/signals.yaml",
        "instrument: counter",
        "instrument: gauge",
        "orders.yaml: orders:rate5m asks for orders_total",
    ),
    (
        "../docs/telemetry/registry/signals.yaml",
        "unit: \"\"",
        "unit: s",
        "classic/datasources.yaml: a link asks for orders_total",
    ),
    ("../docs/telemetry/registry/signals.yaml", "{ ref: outcome,", "{ ref: result,", "refers to result"),
    (
        "../docs/telemetry/registry/signals.yaml",
        "brief: An order.",
        "briefs: An order.",
        "span.order cannot be read",
    ),
];

#[test]
fn each_planted_problem_is_found_in_its_file() {
    for (file, good, bad, expected) in BROKEN {
        let repository = repository();
        let path = repository.path().join("stacks").join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(good), "{file} has no {good:?}");
        fs::write(&path, text.replace(good, bad)).unwrap();
        let found = found(repository.path(), ["says", "read"].iter().any(|word| expected.contains(word)));
        let name = Path::new(file).file_name().unwrap().to_str().unwrap();
        // An expectation about another file names that file.
        let is_it = |finding: &String| {
            finding.contains(expected) && (finding.contains(name) || expected.contains(": "))
        };
        let is_found = found.iter().any(is_it);
        assert!(is_found, "{bad:?} for {good:?} in {file}: no {expected:?} among {found:#?}");
    }
}

#[test]
fn an_alert_without_a_firing_test_is_found() {
    let repository = repository();
    fs::remove_file(repository.path().join("stacks/prometheus/tests/orders.yaml")).unwrap();
    let found = found(repository.path(), false);
    assert!(
        found.iter().any(|finding| finding.contains("NoOrders has no test in which it fires")),
        "{found:#?}"
    );
}

#[test]
fn a_directory_without_a_repository_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = Tree::read(dir.path(), &mut Findings::default()).err().unwrap().to_string();
    assert!(error.contains("root directory of the repository"), "{error}");
}
