//! Rules and dashboards, asked of a real Prometheus that scrapes the real services and the real broker: each query that
//! is shipped finds something.

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

/// What Grafana puts in place of its variables.
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

/// The shipped configuration and rules of Classic, with the addresses of this system and in a hurry.
fn hurried(system: &System, own: SocketAddr) -> Value {
    let broker = inherited("RABBITMQ_METRICS_URL").expect("names no broker's metrics: run `make test`");
    let places = BTreeMap::from([
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
        let place = places.get(target.as_str().unwrap());
        place.inspect(|place| *target = json!(place)).is_some()
    });
    assert_eq!(scrapes.len(), 6, "{scrapes:?}");
    let folder = system.dir().join("rules");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(root().join("stacks/prometheus/rules")).unwrap() {
        let path = entry.unwrap().path();
        let hurry = |line: &str| match line.trim_start().split_once(": ") {
            Some((key @ ("interval" | "for"), _)) => {
                format!("{}{key}: 1s\n", &line[..line.len() - line.trim_start().len()])
            }
            _ => format!("{line}\n"),
        };
        let text: String = fs::read_to_string(&path).unwrap().lines().map(hurry).collect();
        fs::write(folder.join(path.file_name().unwrap()), text).unwrap();
    }
    config["rule_files"] = json!([folder.join("*.yaml")]);
    config
}

/// Everything that leaves a mark: orders that succeed, are declined, wrong and refused, and a message that can't be read.
async fn eventful(system: &mut System) {
    for _ in 0..5 {
        system.place().await;
    }
    let mut dear = books("ada@example.com");
    dear["items"][0]["unitPrice"] = json!("99999.00");
    assert_eq!(system.place_with(&dear, &[]).await.status, 402);
    let mut wrong = books("ada@example.com");
    wrong["currency"] = json!("usd");
    assert_eq!(system.place_with(&wrong, &[]).await.status, 422);
    system.vhost.publish("payment.succeeded", "unreadable", ("no event", "string")).await;
    system.kill(Payment);
    assert_eq!(system.post(&[], None).await.status, 503);
    system.restart(Payment).await;
    eventually("an order that is placed again", async || match system.post(&[], None).await.status {
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
async fn every_rule_alert_and_panel_finds_what_it_asks_for() {
    let mut system = System::start().await;
    let own = address::free().unwrap();
    let prometheus = Prometheus::start(system.dir(), own, &hurried(&system, own));
    // What happens before the first look of Prometheus shows in no rate.
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
    // The message that can't be read is one that somebody has to look at.
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
