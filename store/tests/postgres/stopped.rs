//! A replica in a process of its own that is stopped (SIGSTOP) within a write.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use store::{Database, Session};

use crate::notes::MIGRATIONS;

/// The database and the row of the replica: this program runs again with it.
const REPLICA: &str = "STORE_TEST_REPLICA";
/// Said by the replica once it has written the row.
const WRITTEN: &str = "row written";

/// The process. Dropping it kills it.
pub(crate) struct Replica(Child);

impl Replica {
    /// Starts a replica, and stops it between its INSERT of this row and its COMMIT.
    pub(crate) fn stopped_within_its_write(url: &str, id: i64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "stopped::replica", "--ignored", "--nocapture"]);
        command.env(REPLICA, format!("{id} {url}")).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut replica = Self(command.spawn().unwrap());
        let lines = BufReader::new(replica.0.stderr.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains(WRITTEN)), "the replica has ended");
        let stop = Command::new("kill").args(["-STOP", &replica.0.id().to_string()]).status();
        assert!(stop.unwrap().success());
        replica
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
#[ignore = "is the replica of another test"]
#[expect(clippy::disallowed_methods, reason = "the other test has set the variable for this process")]
async fn replica() {
    let setting = std::env::var(REPLICA).unwrap();
    let (id, url) = setting.split_once(' ').unwrap();
    let (id, url): (i64, String) = (id.parse().unwrap(), url.into());
    let database = Database::open(&url.into(), MIGRATIONS).await.unwrap();
    let write = async move |session: &Session<'_>| {
        session.execute("INSERT INTO notes (id, text) VALUES ($1, 'held')", &[id.into()]).await?;
        eprintln!("{WRITTEN}");
        // Until it is stopped; the writer's thread is held up, as by SIGSTOP.
        std::thread::park_timeout(Duration::from_secs(60));
        Ok(())
    };
    database.write(write).await.unwrap();
}
