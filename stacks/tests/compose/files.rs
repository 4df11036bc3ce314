//! The Compose files: their rules, ports and settings.

use std::{collections::BTreeSet, path::Path, process::Command};

use stacks::{
    compose::{
        check,
        plan::{self, Plan},
    },
    stack::Stack,
};

use super::machine::root;

#[test]
fn every_compose_file_keeps_to_the_rules() {
    let problems = check::check(&root()).unwrap();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_setting_moves_every_port_of_every_stack() {
    for stack in Stack::docker() {
        let usual = Plan::new(&root(), &[stack].into(), &plan::placeholders()).unwrap();
        let ports = usual.published().unwrap();
        let mut settings = plan::placeholders();
        for (number, (port, _)) in ports.iter().enumerate() {
            settings.insert(port.setting.clone(), format!("127.0.0.1:{}", 20_000 + number));
        }
        let moved = Plan::new(&root(), &[stack].into(), &settings).unwrap();
        let hosts: BTreeSet<u16> =
            moved.published().unwrap().iter().map(|(port, _)| port.host.port()).collect();
        assert_eq!(hosts, (20_000..).take(ports.len()).collect(), "{stack}");
    }
}

#[test]
fn service_containers_get_every_setting_that_is_not_fixed() {
    let plan = Plan::new(&root(), &[Stack::Classic].into(), &plan::placeholders()).unwrap();
    // Fixed in a container: directories, shutdown and secrets in a file, and what a user has no reason to change.
    let fixed = [
        "AMQP_URL",
        "ALERTS_TOKEN",
        "LOG_DIR",
        "LOG_FILES",
        "LOG_FILE_BYTES",
        "LOG_STDOUT",
        "MAILER_DATABASE_URL",
        "MAILER_TOKEN",
        "MAIL_DIR",
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
        "OTEL_BLRP_MAX_QUEUE_SIZE",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "OTEL_SERVICE_NAME",
        "OTEL_TRACES_EXPORTER",
        "PAYMENT_DATABASE_URL",
        "PAYMENT_TOKEN",
        "SHUTDOWN_DEADLINE",
        "TELEMETRY_SPOOL_DIR",
    ];
    let binaries = Path::new(env!("CARGO_BIN_EXE_stacks")).parent().unwrap();
    for service in ["gateway", "payment", "mailer"] {
        let help = Command::new(binaries.join(service)).arg("--help").output();
        let help = help.unwrap_or_else(|error| panic!("{service}: {error}; run `make test`"));
        let help = String::from_utf8(help.stdout).unwrap();
        let settings = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
        let given = &plan.project.services[service].environment;
        let missing: Vec<&str> =
            settings.filter(|name| !given.contains_key(*name) && !fixed.contains(name)).collect();
        assert!(missing.is_empty(), "{service} does not get {missing:?}");
    }
}
