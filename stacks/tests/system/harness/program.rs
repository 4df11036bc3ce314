//! A binary that a test runs: its output and its exit code. It ends with its test.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use stacks::{
    http,
    process::{Process, Signal},
    settings::Options,
};
use testkit::wait::eventually;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(60);

/// The directory of the binaries.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_stacks")).parent().unwrap().to_owned()
}

/// A variable of the environment that the tests were started in.
pub(crate) fn inherited(variable: &str) -> Option<String> {
    Options::new(".").unwrap().env.get(variable).cloned()
}

/// A new database on the PostgreSQL server that the test run was lent.
pub(crate) fn database() -> String {
    let server = inherited("DATABASE_URL").expect("DATABASE_URL names no server: run `make test`");
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    let create = format!("CREATE DATABASE {name}");
    let mut psql = std::process::Command::new("psql");
    assert!(psql.args(["--quiet", &server, "--command", &create]).status().unwrap().success());
    format!("{}/{name}", server.rsplit_once('/').unwrap().0)
}

/// The variables that any program needs, without settings of a service.
pub(crate) fn environment() -> BTreeMap<String, String> {
    ["PATH", "HOME"].into_iter().filter_map(|key| Some((key.to_owned(), inherited(key)?))).collect()
}

pub(crate) struct Program {
    name: String,
    child: Child,
}

impl Program {
    /// Starts a binary of ours in a directory, with these settings and no others.
    pub(crate) fn start(name: &str, arguments: &[&str], dir: &Path, settings: &[(&str, &str)]) -> Self {
        let child = Command::new(directory().join(name))
            .args(arguments)
            .current_dir(dir)
            .env_clear()
            .envs(environment())
            .envs(settings.iter().map(|(key, value)| (OsString::from(key), OsString::from(value))))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        Self {
            name: name.to_owned(),
            child: child.unwrap_or_else(|error| panic!("{name}: {error}; run `make test`")),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        Process::of(self.child.id().unwrap()).unwrap().signal(signal);
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) -> Ended {
        self.ended_within(LIMIT).await
    }

    /// Waits this long for its end.
    pub(crate) async fn ended_within(self, limit: Duration) -> Ended {
        let Self { name, child } = self;
        let ended = timeout(limit, child.wait_with_output()).await;
        let Output { status, stdout, stderr } =
            ended.unwrap_or_else(|_| panic!("{name} still runs after {} s", limit.as_secs())).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Waits until a service answers at this address.
pub(crate) async fn serving(address: SocketAddr) {
    let client = http::client().unwrap();
    eventually(&format!("an answer at {address}"), async || {
        http::probe(&client, &format!("http://{address}/livez")).await
    })
    .await;
}
