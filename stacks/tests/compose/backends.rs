//! The configuration of the backends.

use std::fs;

use stacks::{
    compose::plan::{self, Plan},
    stack::Stack,
};

use super::machine::root;

#[test]
fn loki_and_jaeger_are_configured_for_their_next_versions() {
    let read = |file: &str| fs::read_to_string(root().join("stacks").join(file)).unwrap();
    let loki: serde_json::Value = serde_saphyr::from_str(&read("loki/loki.yaml")).unwrap();
    assert_eq!(loki["storage_config"]["use_thanos_objstore"], true);
    assert_eq!(loki["common"]["storage"]["object_store"]["filesystem"]["dir"], "/loki/chunks");
    for file in ["jaeger/jaeger.yaml", "prometheus/scrape/classic.yaml"] {
        assert!(!read(file).contains("spanmetrics"), "{file} has the deprecated alias of span_metrics");
    }
}

#[test]
fn retention_and_memory_of_each_backend_are_settings_with_a_default() {
    let plan = |settings: &[(&str, &str)]| {
        let mut known = plan::placeholders();
        known.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        [Stack::Classic, Stack::Lgtm, Stack::Elk]
            .map(|stack| Plan::new(&root(), &[stack].into(), &known).unwrap())
    };
    let retention = |stacks: &[Plan; 3]| {
        let [classic, lgtm, elk] = stacks;
        let of = |plan: &Plan, service: &str, name: &str| {
            plan.project.services[service].environment[name].as_str().unwrap().to_owned()
        };
        let prometheus = classic.project.services["prometheus"].command.iter();
        vec![
            prometheus.filter_map(|flag| flag.strip_prefix("--storage.tsdb.retention.time=")).collect(),
            of(classic, "loki", "LOKI_RETENTION"),
            of(classic, "jaeger", "JAEGER_RETENTION"),
            of(lgtm, "tempo", "TEMPO_RETENTION"),
            of(lgtm, "mimir", "MIMIR_RETENTION"),
            of(elk, "elastic-setup", "ELASTIC_RETENTION"),
        ]
    };
    assert_eq!(retention(&plan(&[])), ["15d", "168h", "168h", "168h", "168h", "7d"]);
    let names =
        ["PROMETHEUS", "LOKI", "JAEGER", "TEMPO", "MIMIR", "ELASTIC"].map(|name| format!("{name}_RETENTION"));
    let changed: Vec<_> = names.iter().map(|name| (name.as_str(), "48h")).collect();
    assert_eq!(retention(&plan(&changed)), ["48h"; 6]);

    for plan in plan(&[]) {
        for (name, service) in &plan.project.services {
            let setting = format!("{}_MEMORY", name.to_uppercase().replace('-', "_"));
            if ["gateway", "payment", "mailer", "rabbitmq", "mailpit", "elastic-setup", "kibana-setup"]
                .contains(&&**name)
            {
                continue;
            }
            let mut settings = plan::placeholders();
            settings.insert(setting.clone(), "2g".into());
            let changed = Plan::new(&root(), &plan.stacks, &settings).unwrap();
            assert_ne!(service.mem_limit.as_deref(), Some("2g"), "{name}");
            assert_eq!(changed.project.services[name].mem_limit.as_deref(), Some("2g"), "{setting}");
        }
    }
}

#[test]
fn loki_takes_a_backlog_of_the_longest_spool_and_finds_it() {
    let file = fs::read_to_string(root().join("stacks/loki/loki.yaml")).unwrap();
    let loki: serde_json::Value = serde_saphyr::from_str(&file).unwrap();
    let hours =
        |value: &serde_json::Value| value.as_str().unwrap().trim_end_matches('h').parse::<u32>().unwrap();
    let age = hours(&loki["ingester"]["max_chunk_age"]);
    // Lines within half of it are taken, and the default of TELEMETRY_SPOOL_AGE is 24h.
    assert!(age >= 2 * 24, "{age} h");
    assert!(hours(&loki["querier"]["query_ingesters_within"]) > age);
}

#[test]
fn tempo_makes_no_histogram_of_the_time_in_the_queue() {
    // Its producer's span ends after the consumer's has begun: Tempo warns, and counts nothing.
    let file = fs::read_to_string(root().join("stacks/tempo/tempo.yaml")).unwrap();
    let tempo: serde_json::Value = serde_saphyr::from_str(&file).unwrap();
    let graphs = &tempo["metrics_generator"]["processor"]["service_graphs"];
    assert_eq!(graphs["enable_messaging_system_latency_histogram"], false);
}
