//! A private PostgreSQL server.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use stacks::{
    address,
    process::{Process, Signal, append, spawn_detached},
};
use uuid::Uuid;

use super::server::Server;

const MAX_START: Duration = Duration::from_secs(30);
const USER: &str = "omnitrace";
/// The system user that Debian's package makes; the server refuses to run as root.
const SYSTEM_USER: &str = "postgres";
/// The programs of all versions: Debian has none of them in `PATH`.
const VERSIONS: &str = "/usr/lib/postgresql";

/// A PostgreSQL server in a directory of its own.
pub struct Postgres {
    data: PathBuf,
    port: u16,
    password: String,
    durability: &'static str,
    process: Option<(Process, Child)>,
}

impl Server for Postgres {
    const VARIABLE: &'static str = "DATABASE_URL";

    async fn start() -> Result<Self> {
        // The data is removed anyway, and tests are faster without flushes.
        Self::start_with("fsync=off").await
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![(Self::VARIABLE, self.url(self.address(), "postgres"))]
    }
}

impl Postgres {
    /// Starts a server that flushes each commit to the disk, as in production.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub async fn durable() -> Result<Self> {
        Self::start_with("fsync=on").await
    }

    /// The address of the server.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The URL of a database, for a server or a proxy at this address.
    pub fn url(&self, address: SocketAddr, database: &str) -> String {
        format!("postgresql://{USER}:{}@{address}/{database}", self.password)
    }

    /// Creates a database.
    ///
    /// # Errors
    /// When `psql` fails.
    pub fn create_database(&self, name: &str) -> Result<()> {
        self.execute(&[&format!("CREATE DATABASE {name}")]).map(drop)
    }

    /// Runs statements one after the other in one session, as an administrator does; returns the rows as texts.
    ///
    /// # Errors
    /// When `psql` fails.
    pub fn execute(&self, statements: &[&str]) -> Result<String> {
        self.run("postgres", statements)
    }

    /// Runs a statement in a database, see [`execute`](Self::execute).
    ///
    /// # Errors
    /// When `psql` fails.
    pub fn execute_in(&self, database: &str, statement: &str) -> Result<String> {
        self.run(database, &[statement])
    }

    /// Kills the server with all its sessions; its data stays. Blocks the thread.
    pub fn kill(&mut self) {
        if let Some((process, mut child)) = self.process.take() {
            process.kill();
            // The wait removes the process; its status is that of the signal.
            let _ = child.wait();
        }
    }

    /// Starts the server again with its data and port, and waits until it can be used.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> Result<()> {
        let programs = programs()?;
        let deadline = Instant::now() + MAX_START;
        loop {
            self.spawn(&programs)?;
            match self.ready(&programs, &self.log()).await {
                // The sessions of a killed server end a moment later, and keep its memory until then.
                Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(200)).await,
                result => return result,
            }
        }
    }

    fn run(&self, database: &str, statements: &[&str]) -> Result<String> {
        let mut psql = Command::new(programs()?.join("psql"));
        psql.args(["--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        psql.arg(self.url(self.address(), database));
        psql.args(statements.iter().flat_map(|statement| ["--command", *statement]));
        let output = psql.output().context("cannot run psql")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cannot run {statements:?}: {}", said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    async fn start_with(durability: &'static str) -> Result<Self> {
        let programs = programs()?;
        let password = Uuid::new_v4().simple().to_string();
        // Its name is not the password: everyone may list the directory above.
        let data = std::env::temp_dir().join(format!("omnitrace-postgres-{}", Uuid::new_v4().simple()));
        let mut server = Self { data, port: address::free()?.port(), password, durability, process: None };
        server.initialise(&programs)?;
        server.spawn(&programs)?;
        server.ready(&programs, &server.log()).await?;
        Ok(server)
    }

    fn log(&self) -> PathBuf {
        self.data.join("server.out")
    }

    fn spawn(&mut self, programs: &Path) -> Result<()> {
        let (file, _) = append(&self.log())?;
        let mut command = as_system_user(&programs.join("postgres"))?;
        command.arg("-D").arg(self.cluster());
        let port = format!("port={}", self.port);
        for setting in [
            "listen_addresses=127.0.0.1",
            &port,
            "unix_socket_directories=",
            "max_connections=200",
            self.durability,
        ] {
            command.args(["-c", setting]);
        }
        let child = spawn_detached(&mut command, Stdio::from(file.try_clone()?), file);
        let child = child.context("cannot start PostgreSQL")?;
        self.process = Some((Process::of(child.id())?, child));
        Ok(())
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

    async fn ready(&self, programs: &Path, log: &Path) -> Result<()> {
        let deadline = Instant::now() + MAX_START;
        // It listens before it takes sessions.
        let mut is_ready = Command::new(programs.join("pg_isready"));
        is_ready.args(["--quiet", "--host=127.0.0.1", "--port", &self.port.to_string()]);
        while !is_ready.status().context("cannot run pg_isready")?.success() {
            let is_alive = self.process.as_ref().is_some_and(|(process, _)| process.is_alive());
            if Instant::now() > deadline || !is_alive {
                bail!("PostgreSQL does not start; its log:\n{}", fs::read_to_string(log).unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some((process, child)) = &mut self.process {
            // The immediate shutdown of PostgreSQL: it ends its children, too.
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
    let newest =
        newest.context("PostgreSQL is not installed; install it with `stacks/local/install postgresql`")?;
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
    // The system user may have no access to the caller's directory.
    command.args([&user, &group, "--clear-groups", "--"]).arg(program).current_dir("/");
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_leaves_neither_process_nor_directory() {
        let server = Postgres::start().await.unwrap();
        let (process, data) = (server.process.as_ref().unwrap().0, server.data.clone());
        assert!(process.is_alive());
        drop(server);
        assert!(!process.is_alive());
        assert!(!data.exists());
    }
}
