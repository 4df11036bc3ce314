//! The files of the local stack: the services' logs, and the e-mails where no mail server is named.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;

use super::{Inbox, Logged, Logs};
use crate::logs::{Filter, Follow};

/// The log lines written since this was made.
pub struct LogFiles(Mutex<Read>);

struct Read {
    follow: Follow,
    by_trace: HashMap<String, Vec<Logged>>,
}

impl LogFiles {
    /// The log files of a directory, without their present lines.
    pub(crate) fn from_end(dir: &Path) -> Result<Self> {
        let follow = Follow::from_end(dir)?;
        Ok(Self(Mutex::new(Read { follow, by_trace: HashMap::new() })))
    }
}

#[async_trait]
impl Logs for LogFiles {
    async fn lines(&self, traces: &[&str]) -> Result<Vec<Logged>> {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = read.follow.next(&Filter::default()).context("cannot read the log files")?;
        for line in new {
            let Some(trace) = line.trace() else { continue };
            let order = line.order().map(str::to_owned);
            let logged = Logged { trace: trace.to_owned(), service: line.service.to_owned(), order };
            read.by_trace.entry(logged.trace.clone()).or_default().push(logged);
        }
        Ok(traces.iter().filter_map(|trace| read.by_trace.get(*trace)).flatten().cloned().collect())
    }
}

/// A directory of e-mails. The mailer names each file by its order, so that an order has at most one.
pub struct MailFiles(PathBuf);

impl MailFiles {
    /// The e-mails in this directory.
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }
}

#[async_trait]
impl Inbox for MailFiles {
    async fn emails(&self, order: &str) -> Result<usize> {
        let file = self.0.join(format!("{order}.eml"));
        let there = file.try_exists().with_context(|| format!("cannot check for {}", file.display()))?;
        Ok(usize::from(there))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    #[tokio::test]
    async fn new_lines_are_found_by_their_trace() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("payment-service.log");
        fs::write(&path, "{\"message\":\"old\",\"trace.id\":\"aa\"}\n").unwrap();
        let files = LogFiles::from_end(dir.path()).unwrap();
        let mut file = fs::File::options().append(true).open(&path).unwrap();
        for line in [
            r#"{"message":"settled","trace.id":"aa","order.id":"o-1"}"#,
            r#"{"message":"started"}"#,
            r#"{"message":"other","trace.id":"bb"}"#,
        ] {
            writeln!(file, "{line}").unwrap();
        }
        let line = |trace: &str, order: Option<&str>| Logged {
            trace: trace.into(),
            service: "payment-service".into(),
            order: order.map(str::to_owned),
        };
        assert_eq!(files.lines(&["aa"]).await.unwrap(), [line("aa", Some("o-1"))]);
        assert_eq!(files.lines(&["bb", "cc"]).await.unwrap(), [line("bb", None)]);
    }

    #[tokio::test]
    async fn an_email_is_the_file_of_its_order() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("o-1.eml"), "").unwrap();
        let inbox = MailFiles::new(dir.path());
        assert_eq!((inbox.emails("o-1").await.unwrap(), inbox.emails("o-2").await.unwrap()), (1, 0));
    }
}
