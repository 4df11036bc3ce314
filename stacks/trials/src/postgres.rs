//! `trials postgres`: lends a command a private PostgreSQL server for as long as it runs.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::broker::lend;
use stacks::{
    address,
    process::{Process, Signal, append, spawn_detached},
};

const START: Duration = Duration::from_secs(30);
const USER: &str = "omnitrace";
/// The system user that Debian's package makes; the server refuses to run as root.
const SYSTEM_USER: &str = "postgres";
/// Debian keeps every version's programs here, and none of them in `PATH`.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Runs a command with `DATABASE_URL` set and returns its exit code. When the caller has a server already, the
/// command simply runs.
pub async fn run(command: &[String], has_server: bool) -> Result<u8> {
    let start = async {
        let server = Server::start().await?;
        let names = vec![("DATABASE_URL", server.url())];
        Ok((server, names))
    };
    lend(command, (!has_server).then_some(start)).await
}

/// A server in a directory of its own; both go when this is dropped.
pub struct Server {
    data: PathBuf,
    port: u16,
    password: String,
    process: Option<(Process, Child)>,
}

impl Server {
    /// Starts a server on a free port of 127.0.0.1 and waits until it takes connections.
    pub async fn start() -> Result<Self> {
        let programs = programs()?;
        let password = Uuid::new_v4().simple().to_string();
        let data = std::env::temp_dir().join(format!("omnitrace-postgres-{password}"));
        let mut server = Self { data, port: address::free()?.port(), password, process: None };
        server.initialise(&programs)?;
        let log = server.data.join("server.out");
        let (file, _) = append(&log)?;
        let mut command = as_system_user(&programs.join("postgres"))?;
        command.arg("-D").arg(server.cluster());
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", server.port),
            "unix_socket_directories=".to_owned(),
            "max_connections=200".to_owned(),
            // The machine may lose power, and then nobody wants this data any more.
            "fsync=off".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
        let child = spawn_detached(&mut command, Stdio::from(file.try_clone()?), file);
        let child = child.context("cannot start PostgreSQL")?;
        server.process = Some((Process::of(child.id())?, child));
        server.ready(&log).await?;
        Ok(server)
    }

    /// `DATABASE_URL` of the database that it starts with.
    pub fn url(&self) -> String {
        format!("postgresql://{USER}:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    fn cluster(&self) -> PathBuf {
        self.data.join("cluster")
    }

    fn initialise(&self, programs: &Path) -> Result<()> {
        fs::DirBuilder::new().mode(0o700).create(&self.data)?;
        let password_file = self.data.join("password");
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&password_file)?;
        std::io::Write::write_all(&mut file, self.password.as_bytes())?;
        if is_root() {
            let status = Command::new("chown").arg("-R").arg(SYSTEM_USER).arg(&self.data).status()?;
            ensure!(status.success(), "cannot hand {} to the user {SYSTEM_USER}", self.data.display());
        }
        let output = as_system_user(&programs.join("initdb"))?
            .args(["--username", USER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg("--pwfile")
            .arg(&password_file)
            .arg("--pgdata")
            .arg(self.cluster())
            .output()?;
        ensure!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    async fn ready(&self, log: &Path) -> Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            let is_alive = self.process.as_ref().is_some_and(|(process, _)| process.is_alive());
            if Instant::now() > deadline || !is_alive {
                bail!("PostgreSQL does not start; it said:\n{}", fs::read_to_string(log).unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((process, child)) = &mut self.process {
            // Its immediate shutdown: the data goes with it, but its own children must not stay.
            process.signal(Signal::QUIT);
            process.stop(Duration::from_secs(5));
            let _ = child.wait();
        }
        // A directory that stays in /tmp is not worth an error on the way out.
        let _ = fs::remove_dir_all(&self.data);
    }
}

/// The directory with the programs of the newest version.
fn programs() -> Result<PathBuf> {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let newest = versions.filter(|path| path.join("bin/initdb").exists()).max_by_key(version);
    let newest = newest.context("PostgreSQL is not installed: run `stacks/local/install postgresql`")?;
    Ok(newest.join("bin"))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn as_system_user(program: &Path) -> Result<Command> {
    if !is_root() {
        return Ok(Command::new(program));
    }
    let user = format!("--reuid={SYSTEM_USER}");
    let group = format!("--regid={SYSTEM_USER}");
    let mut command = Command::new("setpriv");
    // Where it may stand: the caller's directory may be closed to it.
    command.args([&user, &group, "--clear-groups", "--"]).arg(program).current_dir("/");
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_leaves_neither_process_nor_directory() {
        let server = Server::start().await.unwrap();
        let (process, data) = (server.process.as_ref().unwrap().0, server.data.clone());
        assert!(process.is_alive());
        drop(server);
        assert!(!process.is_alive());
        assert!(!data.exists());
    }
}
