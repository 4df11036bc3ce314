//! PgBouncer in transaction mode: a session of the server is lent for one transaction at a time.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Debian's place; it is not in the `PATH` of every user.
const PROGRAM: &str = "/usr/sbin/pgbouncer";
/// The user that it runs as where the test is root: it refuses to be root.
const USER: &str = "postgres";
/// Fewer sessions than the replicas of a test have connections.
const SESSIONS: usize = 4;
const MAX_START: Duration = Duration::from_secs(10);

/// A pooler on a free port. Dropping it ends it.
pub(crate) struct Pooler {
    pub(crate) url: String,
    process: Child,
    _directory: TempDir,
}

impl Pooler {
    /// A pooler before the server of this URL; the new URL leads through it.
    pub(crate) async fn before(url: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (login, rest) = url.strip_prefix("postgresql://").unwrap().rsplit_once('@').unwrap();
        let ((user, password), (server, database)) =
            (login.split_once(':').unwrap(), rest.split_once('/').unwrap());
        let (host, port) = server.split_once(':').unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (users, settings) = (directory.path().join("users"), directory.path().join("settings"));
        fs::write(&users, format!("\"{user}\" \"{password}\"\n")).unwrap();
        let text = format!(
            "[databases]\n* = host={host} port={port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = {SESSIONS}\n",
            address.port(),
            users.display()
        );
        fs::write(&settings, text).unwrap();
        let mut command = Command::new(PROGRAM);
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            let owned = Command::new("chown").arg("-R").arg(USER).arg(directory.path()).status().unwrap();
            assert!(owned.success());
            command.args(["--user", USER]);
        }
        command.arg("--quiet").arg(&settings).stdin(Stdio::null());
        let process = command.spawn();
        let process = process.unwrap_or_else(|error| panic!("{error}; run `stacks/local/install pgbouncer`"));
        let url = format!("postgresql://{login}@{address}/{database}");
        let mut pooler = Self { url, process, _directory: directory };
        let begun = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            assert_eq!(pooler.process.try_wait().unwrap(), None, "PgBouncer has ended");
            assert!(begun.elapsed() < MAX_START, "PgBouncer does not listen");
            sleep(Duration::from_millis(20)).await;
        }
        pooler
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
