//! A contract test of `setup.sh`: what it asks of a server, and how it takes the answers. It is no proof of Elasticsearch.

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
    server::{Asked, Server},
};

/// A generous bound for one run.
const LIMIT: Duration = Duration::from_secs(60);

const SECRETS: [(&str, &str); 4] = [
    ("ELASTIC_PASSWORD", "elastic-0123456789"),
    ("KIBANA_PASSWORD", "kibana-0123456789"),
    ("LOGSTASH_PASSWORD", "logstash-0123456789"),
    ("APM_PASSWORD", "apm-0123456789"),
];

struct Ended {
    is_success: bool,
    said: String,
}

/// The script, with few seconds of patience and a directory for its secrets.
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

/// Runs it to its end.
async fn setup(part: &str, url: &str, settings: &[(&str, &str)]) -> Ended {
    let (mut script, scratch) = script(part, url, settings);
    let ended = timeout(LIMIT, script.output()).await.expect("the script to end").unwrap();
    let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().collect();
    assert!(left.is_empty(), "secrets are left behind: {left:?}");
    said(&ended)
}

fn said(ended: &Output) -> Ended {
    let said = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
    Ended { is_success: ended.status.success(), said: said.into_owned() }
}

fn lines(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(|asked| asked.line.as_str()).collect()
}

#[tokio::test]
async fn elasticsearch_gets_users_roles_types_and_retention_and_the_same_again_on_a_second_run() {
    let server = Server::start().await;
    let first = setup("elasticsearch", &server.url, &[]).await;
    assert!(first.is_success, "{}", first.said);
    let asked = server.asked();
    let wanted = [
        "POST /_security/user/kibana_system/_password",
        "PUT /_security/role/logstash_writer",
        "PUT /_security/user/logstash_writer",
        "PUT /_security/role/apm_writer",
        "PUT /_security/user/apm_writer",
        "PUT /_index_template/logs-omnitrace",
        "PUT /_cluster/settings",
    ];
    assert_eq!(lines(&asked), wanted);
    let body = |line: &str| -> Value {
        serde_json::from_str(&asked.iter().find(|asked| asked.line == line).unwrap().body).unwrap()
    };
    assert_eq!(body(wanted[0]), json!({ "password": SECRETS[1].1 }));
    assert_eq!(body(wanted[2]), json!({ "password": SECRETS[2].1, "roles": ["logstash_writer"] }));
    assert_eq!(body(wanted[4]), json!({ "password": SECRETS[3].1, "roles": ["apm_writer"] }));
    assert_eq!(body(wanted[5]), crate::json("elasticsearch/index-template.json"));

    let second = setup("elasticsearch", &server.url, &[]).await;
    assert!(second.is_success, "{}", second.said);
    assert_eq!(lines(&server.asked()), [wanted, wanted].concat());
}

#[tokio::test]
async fn kibana_gets_every_object_and_a_default_data_view_however_often() {
    let server = Server::start().await;
    for _ in 0..2 {
        let ended = setup("kibana", &server.url, &[]).await;
        assert!(ended.is_success, "{}", ended.said);
    }
    let asked = server.asked();
    let once = ["POST /api/saved_objects/_import?overwrite=true", "POST /api/data_views/default"];
    assert_eq!(lines(&asked), [once, once].concat());
    assert!(asked[0].body.contains("filename=\"objects.ndjson\""), "{}", asked[0].body);
    let view: Value = serde_json::from_str(&asked[1].body).unwrap();
    assert_eq!(view, json!({ "data_view_id": "omnitrace-logs", "force": true }));
}

#[tokio::test]
async fn it_waits_for_a_server_that_is_not_there_or_not_ready_yet() {
    let address = address::free().unwrap();
    let (mut script, _scratch) = script("kibana", &format!("http://{address}"), &[("PATIENCE", "30")]);
    let mut running = script.spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut next =
        async || timeout(LIMIT, lines.next_line()).await.expect("a line").unwrap().unwrap_or_default();
    assert!(next().await.ends_with("waiting, the answer is 000"));

    let mut refusals = 0;
    let server = Server::on(TcpListener::bind(address).await.unwrap()).object(move |_| {
        refusals += 1;
        (refusals <= 2).then(|| (503, json!("Kibana server is not ready yet")))
    });
    assert!(next().await.ends_with("waiting, the answer is 503"));
    assert!(next().await.ends_with(": done"));
    assert!(timeout(LIMIT, running.wait()).await.expect("the script to end").unwrap().success());
    assert_eq!(server.asked().len(), 4, "two refused, two served");
}

#[tokio::test]
async fn it_gives_up_after_its_patience_and_says_what_it_waited_for() {
    let server = Server::start().await.object(|_| Some((503, json!("not ready"))));
    let ended = setup("elasticsearch", &server.url, &[("PATIENCE", "1")]).await;
    assert!(!ended.is_success);
    assert!(
        ended.said.contains("user kibana_system: POST") && ended.said.contains("within 1 s, at last 503"),
        "{}",
        ended.said
    );
}

#[tokio::test]
async fn an_import_that_failed_in_a_200_is_a_failure_with_its_reason() {
    let errors =
        json!([{ "type": "lens", "id": "omnitrace-lines", "error": { "type": "missing_references" } }]);
    let answer = json!({ "successCount": 15, "success": false, "errors": errors });
    let server = Server::start().await.object(move |_| Some((200, answer.clone())));
    let ended = setup("kibana", &server.url, &[]).await;
    assert!(!ended.is_success && ended.said.contains("missing_references"), "{}", ended.said);
    assert_eq!(server.asked().len(), 1, "it went on after a failure");
}

#[tokio::test]
async fn what_cant_pass_ends_it_at_once_with_the_answer() {
    let refusal = json!({ "error": { "reason": "unknown key [retension]" } });
    let server = Server::start()
        .await
        .object(move |line| line.contains("_index_template").then(|| (400, refusal.clone())));
    let ended = setup("elasticsearch", &server.url, &[("PATIENCE", "60")]).await;
    assert!(!ended.is_success);
    assert!(ended.said.contains("400") && ended.said.contains("unknown key [retension]"), "{}", ended.said);
}

#[tokio::test]
async fn a_password_that_elasticsearch_does_not_know_is_named() {
    let server = Server::start().await.object(|_| Some((401, json!({ "status": 401 }))));
    let ended = setup("elasticsearch", &server.url, &[("PATIENCE", "1")]).await;
    assert!(
        !ended.is_success && ended.said.contains("ELASTIC_PASSWORD is not the password"),
        "{}",
        ended.said
    );
}

#[tokio::test]
async fn a_secret_that_is_missing_short_or_would_break_json_is_refused_before_anything_is_asked() {
    let server = Server::start().await;
    for (name, value) in
        [("APM_PASSWORD", ""), ("KIBANA_PASSWORD", "a\"b-long-enough"), ("ELASTIC_PASSWORD", "weak1")]
    {
        let ended = setup("elasticsearch", &server.url, &[(name, value)]).await;
        assert!(!ended.is_success && ended.said.contains(name), "{name}: {}", ended.said);
        assert!(value.is_empty() || !ended.said.contains(value), "{}", ended.said);
    }
    assert!(server.asked().is_empty(), "{:?}", server.asked());
}

#[tokio::test]
async fn no_secret_is_an_argument_that_everybody_could_see_or_a_line_of_the_log() {
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
    assert!(ended.is_success, "{}", ended.said);
    let arguments = fs::read_to_string(&seen).unwrap();
    assert_eq!(arguments.lines().count(), 7, "{arguments}");
    for (name, secret) in SECRETS {
        assert!(!arguments.contains(secret) && !ended.said.contains(secret), "{name}");
    }
    for asked in server.asked() {
        assert!(asked.authorization.starts_with("Basic "), "{}: {}", asked.line, asked.authorization);
    }
}

#[test]
fn the_script_is_sound_to_the_shell_and_to_shellcheck() {
    let script = path("setup.sh");
    assert_ne!(fs::metadata(&script).unwrap().permissions().mode() & 0o111, 0, "it can't be run");
    for (program, arguments) in [("sh", vec!["-n"]), ("shellcheck", vec![])] {
        let ended = std::process::Command::new(program).args(arguments).arg(&script).output();
        let ended = ended.unwrap_or_else(|error| panic!("{program}: {error}; `make test` installs it"));
        assert!(ended.status.success(), "{}", said(&ended).said);
    }
}
