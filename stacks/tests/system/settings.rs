//! Settings: `--help` lists them all, a bad one is named before the service starts, and the environment wins over `.env`.

use std::{fs, net::TcpListener, path::Path};

use stacks::{address, process::Signal};

use crate::harness::{Program, serving};

const SERVICES: [&str; 3] = ["gateway", "payment", "mailer"];
const TOKEN: &str = "9f86d081-to-keep-secret";
const BROKER: &str = "amqp://user:password-to-keep-secret@127.0.0.1:1/%2f";
const SMTP: &str = "smtp://user:password-to-keep-secret@127.0.0.1:1";

/// Settings with which each service starts, changed by `with`; `None` removes one.
fn settings<'a>(with: &[(&'a str, Option<&'a str>)]) -> Vec<(&'a str, &'a str)> {
    let mut settings = vec![
        ("GATEWAY_LISTEN", "127.0.0.1:0"),
        ("PAYMENT_LISTEN", "127.0.0.1:0"),
        ("MAILER_LISTEN", "127.0.0.1:0"),
        ("PAYMENT_TOKEN", TOKEN),
        ("MAILER_TOKEN", TOKEN),
        ("AMQP_URL", BROKER),
        ("SMTP_URL", SMTP),
        ("OTEL_TRACES_EXPORTER", "none"),
    ];
    for (variable, value) in with {
        settings.retain(|(key, _)| key != variable);
        settings.extend(value.map(|value| (*variable, value)));
    }
    settings
}

fn assert_silent(output: &str, case: &str) {
    assert!(!output.contains("to-keep-secret"), "{case} prints a secret: {output}");
}

fn entries(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn help_lists_every_setting_with_its_variable_and_default() {
    for (service, own) in [
        (
            "gateway",
            &[
                "GATEWAY_LISTEN",
                "PAYMENT_URL",
                "PAYMENT_TOKEN",
                "PAYMENT_DEADLINE",
                "GATEWAY_CLIENT_SHARE",
                "GATEWAY_MAX_IN_FLIGHT",
                "GATEWAY_RATE_LIMIT",
                "GATEWAY_BODY_DEADLINE",
                "GATEWAY_TRACE_CONTEXT",
                "SHUTDOWN_DRAIN_DELAY",
                "SHUTDOWN_DEADLINE",
            ][..],
        ),
        (
            "payment",
            &[
                "PAYMENT_LISTEN",
                "PAYMENT_TOKEN",
                "PAYMENT_DATABASE_URL",
                "AMQP_URL",
                "PAYMENT_LATENCY",
                "PAYMENT_DECLINE_RATE",
                "PAYMENT_FAILURE_RATE",
                "PAYMENT_LIMIT",
                "PAYMENT_MAX_IN_FLIGHT",
                "SHUTDOWN_DEADLINE",
            ],
        ),
        (
            "mailer",
            &[
                "MAILER_LISTEN",
                "MAILER_DATABASE_URL",
                "AMQP_URL",
                "SMTP_URL",
                "MAIL_DIR",
                "MAIL_FROM",
                "MAIL_LATENCY",
                "MAIL_DEADLINE",
                "MAIL_UNCERTAIN",
                "MAILER_TOKEN",
                "SHUTDOWN_DEADLINE",
            ],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let ended = Program::start(service, &["--help"], dir.path(), &settings(&[])).ended().await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{service}");
        assert_silent(&ended.stdout, service);
        let shared =
            ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "LOG_LEVEL", "LOG_DIR", "LOG_STDOUT"];
        for variable in own.iter().chain(&shared) {
            assert!(ended.stdout.contains(&format!("[env: {variable}")), "{service} --help lacks {variable}");
        }
        // A setting begins with its flag, and its text ends at the next flag.
        let listed: Vec<&str> = ended.stdout.split("      --").skip(1).collect();
        assert!(listed.len() > own.len() + shared.len(), "{}", ended.stdout);
        for setting in listed {
            let flag = setting.split([' ', '\n']).next().unwrap();
            let variable = flag.to_ascii_uppercase().replace('-', "_");
            // These flags do not start the service, and have no variable.
            if ["help", "version", "healthcheck"].contains(&flag) {
                continue;
            }
            assert!(setting.contains(&format!("[env: {variable}")), "{service}: --{setting}");
            let has_no_default = [
                "PAYMENT_TOKEN",
                "MAILER_TOKEN",
                "ALERTS_TOKEN",
                "AMQP_URL",
                "SMTP_URL",
                "GATEWAY_RATE_LIMIT_URL",
                "GATEWAY_TRUSTED_PROXIES",
            ]
            .contains(&variable.as_str());
            // The specification has the defaults of OpenTelemetry's variables.
            let has_no_default = has_no_default || variable.starts_with("OTEL_");
            assert!(has_no_default || setting.contains("[default: "), "{service}: --{setting}");
            let meaning = setting.split_once('\n').map_or("", |(_, text)| text).trim();
            assert!(
                setting.contains(". ") || meaning.len() > 10,
                "{service}: --{setting} has no description"
            );
        }
        assert_eq!(entries(dir.path()), Vec::<String>::new(), "{service} --help wrote a file");
    }
}

#[tokio::test]
async fn a_bad_value_is_named_before_anything_starts() {
    for (services, variable, bad) in [
        (&["gateway"][..], "GATEWAY_LISTEN", "3000"),
        (&["gateway"], "PAYMENT_URL", "localhost:3001"),
        (&["gateway"], "PAYMENT_URL", "ftp://localhost"),
        (&["gateway"], "PAYMENT_DEADLINE", "soon"),
        (&["gateway"], "GATEWAY_CLIENT_SHARE", "0"),
        (&["gateway"], "GATEWAY_MAX_IN_FLIGHT", "0"),
        (&["gateway"], "GATEWAY_RATE_LIMIT", "-1"),
        (&["gateway"], "GATEWAY_RATE_LIMIT_URL", "http://:to-keep-secret@localhost"),
        (&["gateway"], "GATEWAY_TRUSTED_PROXIES", "proxy.example"),
        (&["gateway"], "GATEWAY_KEEP_ALIVE", "long"),
        (&["gateway"], "GATEWAY_BODY_DEADLINE", "1 fortnight"),
        (&["gateway"], "GATEWAY_TRACE_CONTEXT", "trust"),
        (&SERVICES, "BAGGAGE_ALLOWED", "a b"),
        (&["payment"], "PAYMENT_LISTEN", "localhost"),
        (&["payment"], "PAYMENT_TOKEN", "to-keep-secret"),
        (&["gateway", "payment"], "PAYMENT_TOKEN", "changeme-changeme"),
        (&["gateway"], "ALERTS_TOKEN", "changeme-changeme"),
        (&["mailer"], "MAILER_TOKEN", "passwordpassword"),
        (&["mailer"], "MAILER_TOKEN", "to-keep-secret"),
        (&["mailer"], "MAIL_UNCERTAIN", "hope"),
        (&["mailer"], "MAIL_DEADLINE", "tomorrow"),
        (&["gateway"], "PAYMENT_URL", "http://user:password-to-keep-secret@localhost:3001"),
        (&["gateway"], "PAYMENT_URL", "http://localhost:3001/?token=to-keep-secret"),
        (&["gateway"], "PAYMENT_URL", "http://localhost:3001/base"),
        (&["payment"], "PAYMENT_DATABASE_URL", "mysql://user:password-to-keep-secret@localhost/db"),
        (&["payment"], "PAYMENT_LATENCY", "500"),
        (&["payment"], "PAYMENT_DECLINE_RATE", "1.5"),
        (&["payment"], "PAYMENT_FAILURE_RATE", "NaN"),
        (&["payment"], "PAYMENT_LIMIT", "-1"),
        (&["payment", "mailer"], "AMQP_URL", "http://user:password-to-keep-secret@localhost"),
        (&["payment", "mailer"], "AMQP_URL", "amqp://user:password-to-keep-secret@localhost:port/%2f"),
        (&["mailer"], "MAILER_LISTEN", "127.0.0.1:70000"),
        (&["mailer"], "MAILER_DATABASE_URL", "mysql://user:password-to-keep-secret@localhost/db"),
        (&["mailer"], "SMTP_URL", "http://user:password-to-keep-secret@localhost"),
        (&["mailer"], "SMTP_URL", "smtp://user:password-to-keep-secret@mail.example.org"),
        (&["mailer"], "MAIL_FROM", "no-address"),
        (&["mailer"], "MAIL_LATENCY", "-1s"),
        (&SERVICES, "SHUTDOWN_DEADLINE", "ten"),
        (&SERVICES, "TELEMETRY_SPOOL_BYTES", "0"),
        (&SERVICES, "TELEMETRY_SPOOL_AGE", "long"),
        (&SERVICES, "LOG_LEVEL", "loud"),
        (&SERVICES, "LOG_STDOUT", "maybe"),
    ] {
        for service in services {
            let case = format!("{service} with {variable}={bad}");
            let dir = tempfile::tempdir().unwrap();
            let settings = settings(&[(variable, Some(bad))]);
            let ended = Program::start(service, &[], dir.path(), &settings).ended().await;
            assert!(ended.code.is_some_and(|code| code != 0), "{case}: {ended:?}");
            assert!(ended.stderr.contains(variable), "{case}: the variable is not named: {ended:?}");
            assert_silent(&format!("{}{}", ended.stdout, ended.stderr), &case);
            assert_eq!(entries(dir.path()), Vec::<String>::new(), "{case} wrote a file");
        }
    }
}

#[tokio::test]
async fn a_missing_secret_is_named() {
    for (service, variable) in [
        ("gateway", "PAYMENT_TOKEN"),
        ("payment", "PAYMENT_TOKEN"),
        ("mailer", "MAILER_TOKEN"),
        ("payment", "AMQP_URL"),
        ("mailer", "AMQP_URL"),
    ] {
        for value in [None, Some("")] {
            let dir = tempfile::tempdir().unwrap();
            let ended =
                Program::start(service, &[], dir.path(), &settings(&[(variable, value)])).ended().await;
            assert!(ended.code.is_some_and(|code| code != 0), "{service} without {variable}: {ended:?}");
            assert!(ended.stderr.contains(variable), "{service} does not name {variable}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn a_busy_port_is_named_and_ends_the_service() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    for (service, variable) in
        [("gateway", "GATEWAY_LISTEN"), ("payment", "PAYMENT_LISTEN"), ("mailer", "MAILER_LISTEN")]
    {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(&[(variable, Some(&address)), ("SMTP_URL", None)]);
        let ended = Program::start(service, &[], dir.path(), &settings).ended().await;
        assert!(ended.code.is_some_and(|code| code != 0), "{service}: {ended:?}");
        assert!(ended.stderr.contains("in use"), "{service}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{service}: {ended:?}");
        assert!(ended.stderr.contains(&address), "{service} does not name the port: {ended:?}");
        assert_silent(&ended.stderr, service);
    }
}

#[tokio::test]
async fn the_environment_overrides_dot_env() {
    let dir = tempfile::tempdir().unwrap();
    let (file, environment) = (address::free().unwrap(), address::free().unwrap());
    let text = format!("GATEWAY_LISTEN={file}\nPAYMENT_TOKEN={TOKEN}\nOTEL_TRACES_EXPORTER=none\n");
    fs::write(dir.path().join(".env"), text).unwrap();

    for (settings, expected) in
        [(vec![], file), (vec![("GATEWAY_LISTEN", environment.to_string())], environment)]
    {
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let gateway = Program::start("gateway", &[], dir.path(), &settings);
        serving(expected).await;
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.ended().await.code, Some(0));
    }

    fs::write(dir.path().join(".env"), "this is no setting\n").unwrap();
    let ended = Program::start("gateway", &[], dir.path(), &settings(&[])).ended().await;
    assert!(ended.code != Some(0) && ended.stderr.contains(".env"), "{ended:?}");
    let help = Program::start("gateway", &["--help"], dir.path(), &[]).ended().await;
    assert!(help.code == Some(0) && help.stdout.contains("GATEWAY_LISTEN"), "{help:?}");
}

#[tokio::test]
async fn dot_env_of_a_directory_above_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".env"), format!("PAYMENT_TOKEN={TOKEN}\n")).unwrap();
    let below = dir.path().join("below");
    fs::create_dir(&below).unwrap();
    let ended = Program::start("gateway", &[], &below, &settings(&[("PAYMENT_TOKEN", None)])).ended().await;
    assert!(ended.code == Some(2) && ended.stderr.contains("PAYMENT_TOKEN"), "{ended:?}");
}
