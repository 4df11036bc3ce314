//! The queries of all rules and dashboards, against a real Prometheus that scrapes the real services and broker: each
//! finds data.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use serde_json::{Value, json};
use stacks::{
    address,
    check::{
        Findings,
        files::Tree,
        grafana,
        prometheus::whole_config,
        promql::selectors,
        rules::{Rule, rules},
    },
    local::layout::Component::{Gateway, Mailer, Payment},
};
use testkit::wait::eventually;

use crate::harness::{Prometheus, System, books, inherited};

/// Values for the variables that Grafana replaces.
const VARIABLES: [(&str, &str); 2] = [("$__rate_interval", "30s"), ("$__range", "5m")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn tree() -> Tree {
    let mut findings = Findings::default();
    let tree = Tree::read(root(), &mut findings).unwrap();
    assert!(findings.all().is_empty(), "{findings:?}");
    tree
}

/// The shipped configuration and rules of Classic, with the addresses of this system and intervals of 1 s.
fn config(system: &System, own: SocketAddr) -> Value {
    let broker = inherited("RABBITMQ_METRICS_URL").expect("names no broker's metrics: run `make test`");
    let addresses = BTreeMap::from([
        ("gateway:3000", system.address(Gateway)),
        ("payment:3001", system.address(Payment)),
        ("mailer:3002", system.address(Mailer)),
        ("rabbitmq:15692", broker.replace("http://", "")),
        ("prometheus:9090", own.to_string()),
    ]);
    let mut config = whole_config(&root().join("stacks/prometheus/classic.yaml")).unwrap();
    config["global"] = json!({"scrape_interval": "1s", "evaluation_interval": "1s"});
    config.as_object_mut().unwrap().remove("alerting");
    let scrapes = config["scrape_configs"].as_array_mut().unwrap();
    scrapes.retain_mut(|scrape| {
        let target = &mut scrape["static_configs"][0]["targets"][0];
        let address = addresses.get(target.as_str().unwrap());
        address.inspect(|address| *target = json!(address)).is_some()
    });
    assert_eq!(scrapes.len(), 6, "{scrapes:?}");
    let folder = system.dir().join("rules");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(root().join("stacks/prometheus/rules")).unwrap() {
        let path = entry.unwrap().path();
        let quicken = |line: &str| match line.trim_start().split_once(": ") {
            Some((key @ ("interval" | "for"), _)) => {
                format!("{}{key}: 1s\n", &line[..line.len() - line.trim_start().len()])
            }
            _ => format!("{line}\n"),
        };
        let text: String = fs::read_to_string(&path).unwrap().lines().map(quicken).collect();
        fs::write(folder.join(path.file_name().unwrap()), text).unwrap();
    }
    config["rule_files"] = json!([folder.join("*.yaml")]);
    config
}

/// Fills every metric: orders that succeed, are declined, invalid and refused, and a message that cannot be read.
async fn eventful(system: &mut System) {
    for _ in 0..5 {
        system.place().await;
    }
    let mut expensive = books("ada@example.com");
    expensive["items"][0]["unitPrice"] = json!("99999.00");
    assert_eq!(system.place_with(&expensive, &[]).await.status, 402);
    let mut invalid = books("ada@example.com");
    invalid["currency"] = json!("usd");
    assert_eq!(system.place_with(&invalid, &[]).await.status, 422);
    system.vhost.publish("payment.succeeded", "unreadable", ("no event", "string")).await;
    system.kill(Payment);
    assert_eq!(system.post(&[], None).await.status, 503);
    system.restart(Payment).await;
    eventually("an order after the restart", async || match system.post(&[], None).await.status {
        201 => Ok(()),
        status => Err(format!("the answer is {status}")),
    })
    .await;
}

async fn finds(prometheus: &Prometheus, place: &str, expression: &str) {
    eventually(&format!("a number for {place}: {expression}"), async || {
        let values = prometheus.values(expression).await?;
        values.iter().any(|value| value.is_finite()).then_some(()).ok_or(format!("{values:?}"))
    })
    .await;
}

#[tokio::test]
async fn every_rule_alert_and_panel_finds_data() {
    let mut system = System::start().await;
    let own = address::free().unwrap();
    let prometheus = Prometheus::start(system.dir(), own, &config(&system, own));
    // A rate needs a sample from before the event.
    finds(&prometheus, "the services", "sum(up) > 5").await;
    eventful(&mut system).await;

    let tree = tree();
    for Rule { file, record, expr, .. } in rules(&tree) {
        for selector in selectors(&expr).iter().filter(|selector| selector.function != "absent") {
            finds(&prometheus, &file, &selector.query()).await;
        }
        match record {
            Some(record) => finds(&prometheus, &file, &record).await,
            None => drop(prometheus.values(&expr).await.unwrap()),
        }
    }
    // The unreadable message is parked, which must fire this alert.
    finds(
        &prometheus,
        "an alert",
        r#"ALERTS{alertname="QueueProcessingFailures",cause="parked",alertstate="firing"}"#,
    )
    .await;
    let queries = grafana::queries(&tree);
    let metrics: Vec<_> = queries.iter().filter(|query| query.source == "metrics").collect();
    assert!(metrics.len() > 100, "{} queries are too few to be all", metrics.len());
    for query in metrics {
        let expression =
            VARIABLES.iter().fold(query.text.clone(), |text, (name, value)| text.replace(name, value));
        let place = format!("{:?} of {}", query.panel, query.file);
        finds(&prometheus, &place, &expression).await;
        if query.with_exemplars {
            let exemplars = prometheus.exemplars(&expression).await.unwrap();
            assert!(!exemplars.is_empty(), "no exemplar for {place}");
        }
    }
}
