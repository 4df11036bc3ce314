//! What the links of the page ask for: the data sources that the stacks provide, by the query that the page shows.

use reqwest::Url;
use serde_json::{Value, json};
use stacks::local::layout::Component;

use super::{
    driver::{Browser, WIDE},
    link, start,
};

const CLASSIC: &str = include_str!("../../../grafana/classic/datasources.yaml");
const LGTM: &str = include_str!("../../../grafana/lgtm/datasources.yaml");
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Evaluates an expression over the module `links` of the page, on a stack with these servers.
async fn evaluate(browser: &Browser, servers: &Value, expression: &str) -> Value {
    let script = format!(
        "const done = arguments[arguments.length - 1];
         import('/page/links.js').then((links) => {{ links.know({{ links: {servers} }}); done({expression}); }},
           (error) => done(String(error)));"
    );
    browser.run_async(&script).await
}

/// The link of a query.
async fn of_query(browser: &Browser, server: &str, language: &str, text: &str) -> Url {
    let servers = json!({server: "http://server.test"});
    let query = json!({"language": language, "text": text});
    let found = evaluate(browser, &servers, &format!("links.queryLink({query})?.href")).await;
    Url::parse(found.as_str().unwrap_or_default()).unwrap_or_else(|error| panic!("{found}: {error}"))
}

/// The one query of a page of Grafana's Explore: the uid and the type of its data source, and the query itself.
fn explored(link: &Url) -> (String, String, Value) {
    let panes = link.query_pairs().find(|(name, _)| name == "panes").expect("panes").1;
    let panes: Value = serde_json::from_str(&panes).unwrap();
    let query = &panes["t"]["queries"][0];
    let source = |key: &str| query["datasource"][key].as_str().unwrap().to_owned();
    assert_eq!(panes["t"]["datasource"], query["datasource"]["uid"]);
    (source("uid"), source("type"), query.clone())
}

#[tokio::test]
async fn links_ask_data_sources_that_the_stacks_provide() {
    let system = start(&[]).await;
    let browser = Browser::open(WIDE).await;
    browser.go(&link(&system)).await;
    browser.shows("#connection", "live").await;
    let logs = format!("{{service_name=~\".+\"}} | trace_id = \"{TRACE}\"");
    let rate = "sum(rate(orders_created_total[1m]))";
    let cases = [
        ("LogQL", logs.as_str(), "expr", &[CLASSIC, LGTM][..]),
        ("TraceQL", TRACE, "query", &[LGTM]),
        ("PromQL", rate, "expr", &[CLASSIC, LGTM]),
    ];
    for (language, text, key, provided) in cases {
        let (uid, kind, query) = explored(&of_query(&browser, "grafana", language, text).await);
        assert_eq!(query[key], text, "{language}");
        for sources in provided {
            let source = format!("uid: {uid}\n    type: {kind}\n");
            assert!(sources.contains(&source), "{language}: there is no data source {uid} of type {kind}");
        }
    }

    let prometheus = of_query(&browser, "prometheus", "PromQL", rate).await;
    assert!(prometheus.query_pairs().any(|(name, value)| name == "g0.expr" && value == rate), "{prometheus}");
    let quoted = "order.id: \"it's!\"";
    let kibana = of_query(&browser, "kibana", "KQL", quoted).await;
    let state = percent_decode(kibana.fragment().unwrap_or_default());
    // Rison writes a quote and an exclamation mark with an exclamation mark before it.
    assert!(state.contains("query:'order.id: \"it!'s!!\"'"), "{state}");
    browser.close().await;
}

#[tokio::test]
async fn the_link_of_a_trace_shows_that_trace() {
    let system = start(&[]).await;
    let placed = system.place().await;
    system.email(&placed.id).await;
    let browser = Browser::open(WIDE).await;
    browser.go(&link(&system)).await;
    browser.shows("#connection", "live").await;
    let jaeger = system.stack.layout().listens(Component::Traces)[0].0;
    let servers = json!({"jaeger": format!("http://{jaeger}")});
    let found = evaluate(&browser, &servers, &format!("links.traceLink({}).href", json!(placed.trace))).await;
    // Jaeger's own page.
    browser.go(found.as_str().unwrap()).await;
    browser.shows("body", "POST /create-order").await;
    browser.shows("body", &placed.trace[..7]).await;
    browser.close().await;
}

fn percent_decode(text: &str) -> String {
    // A query of any URL is decoded alike.
    let url = Url::parse(&format!("http://server.test/?a={}", text.replace('&', "%26"))).unwrap();
    url.query_pairs().next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
