//! `setup.sh` against a documented server: its requests, and its reaction to the answers.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use stacks::address;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::Command,
    time::timeout,
};

use crate::{
    path,
    server::{Received, Server},
};

/// The time limit of one run.
const LIMIT: Duration = Duration::from_secs(60);

const SECRETS: [(&str, &str); 4] = [
    ("ELASTIC_PASSWORD", "elastic-0123456789"),
    ("KIBANA_PASSWORD", "kibana-0123456789"),
    ("LOGSTASH_PASSWORD", "logstash-0123456789"),
    ("APM_PASSWORD", "apm-0123456789"),
];

struct Ended {
    is_success: bool,
    output: String,
}

/// The script, with short limits, and the directory for its temporary files.
fn script(part: &str, url: &str, settings: &[(&str, &str)]) -> (Command, TempDir) {
    let scratch = tempfile::tempdir().unwrap();
    let mut script = Command::new(path("setup.sh"));
    script
        .arg(part)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("TMPDIR", scratch.path())
        .envs([("ELASTICSEARCH_URL", url), ("KIBANA_URL", url), ("PATIENCE", "3"), ("PAUSE", "0.1")])
        .envs(SECRETS)
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    (script, scratch)
}

/// Runs the script to its end.
async fn setup(part: &str, url: &str, settings: &[(&str, &str)]) -> Ended {
    let (mut script, scratch) = script(part, url, settings);
    let output = timeout(LIMIT, script.output()).await.expect("the script ends in time").unwrap();
    let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().collect();
    assert!(left.is_empty(), "temporary files with secrets remain: {left:?}");
    ended(&output)
}

fn ended(output: &Output) -> Ended {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Ended { is_success: output.status.success(), output: text.into_owned() }
}

fn lines(requests: &[Received]) -> Vec<&str> {
    requests.iter().map(|request| request.line.as_str()).collect()
}

#[tokio::test]
async fn elasticsearch_is_set_up_alike_on_a_second_run() {
    let server = Server::start().await;
    let first = setup("elasticsearch", &server.url, &[]).await;
    assert!(first.is_success, "{}", first.output);
    let requests = server.requests();
    let expected = [
        "POST /_security/user/kibana_system/_password",
        "PUT /_security/role/logstash_writer",
        "PUT /_security/user/logstash_writer",
        "PUT /_security/role/apm_writer",
        "PUT /_security/user/apm_writer",
        "PUT /_index_template/logs-omnitrace",
        "PUT /_cluster/settings",
    ];
    assert_eq!(lines(&requests), expected);
    let body = |line: &str| -> Value {
        serde_json::from_str(&requests.iter().find(|request| request.line == line).unwrap().body).unwrap()
    };
    assert_eq!(body(expected[0]), json!({ "password": SECRETS[1].1 }));
    assert_eq!(body(expected[2]), json!({ "password": SECRETS[2].1, "roles": ["logstash_writer"] }));
    assert_eq!(body(expected[4]), json!({ "password": SECRETS[3].1, "roles": ["apm_writer"] }));
    assert_eq!(body(expected[5]), crate::json("elasticsearch/index-template.json"));

    let second = setup("elasticsearch", &server.url, &[]).await;
    assert!(second.is_success, "{}", second.output);
    assert_eq!(lines(&server.requests()), [expected, expected].concat());
}

#[tokio::test]
async fn kibana_is_set_up_alike_on_a_second_run() {
    let server = Server::start().await;
    for _ in 0..2 {
        let ended = setup("kibana", &server.url, &[]).await;
        assert!(ended.is_success, "{}", ended.output);
    }
    let requests = server.requests();
    let once = ["POST /api/saved_objects/_import?overwrite=true", "POST /api/data_views/default"];
    assert_eq!(lines(&requests), [once, once].concat());
    assert!(requests[0].body.contains("filename=\"objects.ndjson\""), "{}", requests[0].body);
    let view: Value = serde_json::from_str(&requests[1].body).unwrap();
    assert_eq!(view, json!({ "data_view_id": "omnitrace-logs", "force": true }));
}

#[tokio::test]
async fn setup_waits_for_a_server_that_is_not_ready() {
    let address = address::free().unwrap();
    let (mut script, _scratch) = script("kibana", &format!("http://{address}"), &[("PATIENCE", "30")]);
    let mut running = script.spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut next = async || {
        timeout(LIMIT, lines.next_line()).await.expect("a line in time").unwrap().unwrap_or_default()
    };
    assert!(next().await.ends_with("waiting, the answer is 000"));

    let mut refusals = 0;
    let server = Server::on(TcpListener::bind(address).await.unwrap()).object(move |_| {
        refusals += 1;
        (refusals <= 2).then(|| (503, json!("Kibana server is not ready yet")))
    });
    assert!(next().await.ends_with("waiting, the answer is 503"));
    assert!(next().await.ends_with(": done"));
    assert!(timeout(LIMIT, running.wait()).await.expect("the script ends in time").unwrap().success());
    assert_eq!(server.requests().len(), 4, "two refused, two served");
}

#[tokio::test]
async fn setup_gives_up_after_its_limit_and_names_the_step() {
    let server = Server::start().await.object(|_| Some((503, json!("not ready"))));
    let ended = setup("elasticsearch", &server.url, &[("PATIENCE", "1")]).await;
    assert!(!ended.is_success);
    assert!(
        ended.output.contains("user kibana_system: POST") && ended.output.contains("within 1 s, at last 503"),
        "{}",
        ended.output
    );
}

#[tokio::test]
async fn a_failed_import_in_a_200_is_an_error_with_its_reason() {
    let errors =
        json!([{ "type": "lens", "id": "omnitrace-lines", "error": { "type": "missing_references" } }]);
    let answer = json!({ "successCount": 15, "success": false, "errors": errors });
    let server = Server::start().await.object(move |_| Some((200, answer.clone())));
    let ended = setup("kibana", &server.url, &[]).await;
    assert!(!ended.is_success && ended.output.contains("missing_references"), "{}", ended.output);
    assert_eq!(server.requests().len(), 1, "the script continued after a failure");
}

#[tokio::test]
async fn a_refused_request_ends_setup_with_the_answer() {
    let refusal = json!({ "error": { "reason": "unknown key [retension]" } });
    let server = Server::start()
        .await
        .object(move |line| line.contains("_index_template").then(|| (400, refusal.clone())));
    let ended = setup("elasticsearch", &server.url, &[("PATIENCE", "60")]).await;
    assert!(!ended.is_success);
    assert!(
        ended.output.contains("400") && ended.output.contains("unknown key [retension]"),
        "{}",
        ended.output
    );
}

#[tokio::test]
async fn retention_is_a_setting_and_checked() {
    let server = Server::start().await;
    let ended = setup("elasticsearch", &server.url, &[("ELASTIC_RETENTION", "36h")]).await;
    assert!(ended.is_success, "{}", ended.output);
    let body = |line: &str| -> Value {
        let requests = server.requests();
        serde_json::from_str(&requests.iter().find(|request| request.line == line).unwrap().body).unwrap()
    };
    let template = body("PUT /_index_template/logs-omnitrace");
    assert_eq!(template["template"]["lifecycle"]["data_retention"], "36h");
    let failures = "/template/data_stream_options/failure_store/lifecycle/data_retention";
    assert_eq!(template.pointer(failures).unwrap(), "36h");
    let settings = body("PUT /_cluster/settings");
    assert_eq!(settings["persistent"]["data_streams.lifecycle.retention.max"], "36h");

    let server = Server::start().await;
    for bad in ["7", "a week", "d", "0d", "7d\"}"] {
        let ended = setup("elasticsearch", &server.url, &[("ELASTIC_RETENTION", bad)]).await;
        assert!(!ended.is_success && ended.output.contains("ELASTIC_RETENTION="), "{bad}: {}", ended.output);
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_wrong_elastic_password_is_named() {
    let server = Server::start().await.object(|_| Some((401, json!({ "status": 401 }))));
    let ended = setup("elasticsearch", &server.url, &[("PATIENCE", "1")]).await;
    assert!(
        !ended.is_success && ended.output.contains("ELASTIC_PASSWORD is not the password"),
        "{}",
        ended.output
    );
}

#[tokio::test]
async fn a_bad_secret_is_refused_before_the_first_request() {
    let server = Server::start().await;
    for (name, value) in
        [("APM_PASSWORD", ""), ("KIBANA_PASSWORD", "a\"b-long-enough"), ("ELASTIC_PASSWORD", "weak1")]
    {
        let ended = setup("elasticsearch", &server.url, &[(name, value)]).await;
        assert!(!ended.is_success && ended.output.contains(name), "{name}: {}", ended.output);
        assert!(value.is_empty() || !ended.output.contains(value), "{}", ended.output);
    }
    assert!(server.requests().is_empty(), "{:?}", server.requests());
}

#[tokio::test]
async fn no_secret_is_in_an_argument_or_in_the_log() {
    let server = Server::start().await;
    let shim = tempfile::tempdir().unwrap();
    let seen = shim.path().join("seen");
    let curl = shim.path().join("curl");
    let forward =
        format!("#!/bin/sh\necho \"$*\" >>{}\nPATH=${{PATH#*:}} exec curl \"$@\"\n", seen.display());
    fs::write(&curl, forward).unwrap();
    fs::set_permissions(&curl, fs::Permissions::from_mode(0o755)).unwrap();
    let searched =
        format!("{}:{}", shim.path().display(), std::env::var_os("PATH").unwrap().to_string_lossy());
    let ended = setup("elasticsearch", &server.url, &[("PATH", &searched)]).await;
    assert!(ended.is_success, "{}", ended.output);
    let arguments = fs::read_to_string(&seen).unwrap();
    assert_eq!(arguments.lines().count(), 7, "{arguments}");
    for (name, secret) in SECRETS {
        assert!(!arguments.contains(secret) && !ended.output.contains(secret), "{name}");
    }
    for request in server.requests() {
        assert!(request.authorization.starts_with("Basic "), "{}: {}", request.line, request.authorization);
    }
}

#[test]
fn the_script_passes_the_shell_and_shellcheck() {
    let script = path("setup.sh");
    assert_ne!(
        fs::metadata(&script).unwrap().permissions().mode() & 0o111,
        0,
        "the script is not executable"
    );
    for (program, arguments) in [("sh", vec!["-n"]), ("shellcheck", vec![])] {
        let output = std::process::Command::new(program).args(arguments).arg(&script).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}; `make test` installs it"));
        assert!(output.status.success(), "{}", ended(&output).output);
    }
}
