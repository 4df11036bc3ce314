//! Database files with many settled orders.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use stacks::{
    local::LocalStack,
    progress::Progress,
    settings::{Options, Settings},
};
use testkit::growth;
use tokio::{io::AsyncWriteExt as _, process::Command};

/// No program reads the files before they are whole.
const FAST: &str =
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000;\nBEGIN;\n";

/// The files of payment and mailer; trials use them one after the other.
pub(super) struct Grown(PathBuf);

impl Grown {
    /// Makes the files in a directory: the services make their schemas, SQL the rows.
    pub(super) async fn make(
        options: &Options,
        dir: &Path,
        environment: &Settings,
        orders: u64,
    ) -> Result<Self> {
        let dir = dir.join("grown");
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let mut env = environment.clone();
        env.extend([("ALERTS".into(), "off".into()), ("OTEL_TRACES_EXPORTER".into(), "none".into())]);
        env.insert("OTEL_EXPORTER_OTLP_ENDPOINT".into(), "http://127.0.0.1:9".into());
        let schema = Options { dir: dir.clone(), env, free_ports: true, binaries: options.binaries.clone() };
        let mut stack = LocalStack::up(&schema, &mut Progress::silent()).await?;
        tokio::task::block_in_place(|| stack.down(&mut Progress::silent()))?;
        let grown = Self(dir.join("var"));
        grown.fill("payment", &growth::payments(orders)).await?;
        grown.fill("mailer", &growth::emails(orders)).await?;
        Ok(grown)
    }

    /// The size of the files.
    pub(super) fn bytes(&self) -> Result<u64> {
        let sizes = ["payment.db", "mailer.db"].map(|file| fs::metadata(self.0.join(file)));
        sizes.into_iter().map(|file| Ok(file?.len())).sum()
    }

    /// Adds the settings of a trial with these files.
    pub(super) fn set(&self, settings: &mut Settings) {
        for service in ["payment", "mailer"] {
            let url = format!("sqlite://{}/{service}.db", self.0.display());
            settings.insert(format!("{}_DATABASE_URL", service.to_uppercase()), url);
        }
    }

    async fn fill(&self, service: &str, rows: &str) -> Result<()> {
        let mut sqlite = Command::new("sqlite3");
        sqlite.arg("-bail").arg(self.0.join(format!("{service}.db"))).stdin(Stdio::piped());
        let sqlite = sqlite.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
        let mut sqlite =
            sqlite.context("cannot run sqlite3; install it with `stacks/local/install sqlite3`")?;
        let mut input = sqlite.stdin.take().context("no standard input")?;
        input.write_all(format!("{FAST}{rows}COMMIT;\n").as_bytes()).await?;
        drop(input);
        let output = sqlite.wait_with_output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cannot fill the file of {service}: {}", said.trim());
        Ok(())
    }
}
