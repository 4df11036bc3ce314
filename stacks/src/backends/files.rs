//! The files of the local stack: the services' logs, and the e-mails where no mail server is named.

use std::{
    collections::HashMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;

use super::{
    Email, Inbox, Logged, Logs,
    lines::{Query, Which},
};
use crate::logs::{self, Filter, Follow, Line};

/// Lines from before the first question for new ones.
const MAX_BEFORE: usize = 7000;

/// The log files. By trace, those lines that were written since this was made.
pub struct LogFiles {
    dir: PathBuf,
    read: Mutex<Read>,
    /// For the newest lines of all; none before the first question.
    newest: Mutex<Option<Follow>>,
}

struct Read {
    follow: Follow,
    by_trace: HashMap<String, Vec<Logged>>,
}

impl LogFiles {
    /// The log files of a directory.
    pub(crate) fn from_end(dir: &Path) -> Result<Self> {
        let follow = Follow::from_end(dir)?;
        let read = Mutex::new(Read { follow, by_trace: HashMap::new() });
        Ok(Self { dir: dir.to_owned(), read, newest: Mutex::new(None) })
    }
}

#[async_trait]
impl Logs for LogFiles {
    async fn lines(&self, traces: &[&str]) -> Result<Vec<Logged>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let new = read.follow.next(&Filter::default()).context("cannot read the log files")?;
        for line in new {
            let Some(trace) = line.trace().map(str::to_owned) else { continue };
            let order = line.order().map(str::to_owned);
            let logged = Logged { trace, service: line.service, order };
            read.by_trace.entry(logged.trace.clone()).or_default().push(logged);
        }
        Ok(traces.iter().filter_map(|trace| read.by_trace.get(*trace)).flatten().cloned().collect())
    }

    async fn find(&self, which: &Which) -> Result<Vec<Line>> {
        let filter = match which {
            // The files grow at their ends alone, which are followed.
            Which::Since(_) => {
                let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
                return match &mut *newest {
                    Some(follow) => follow.next(&Filter::default()).context("cannot read the log files"),
                    None => {
                        *newest = Some(Follow::from_end(&self.dir)?);
                        logs::read(&self.dir, &Filter::default(), Some(MAX_BEFORE))
                    }
                };
            }
            Which::Order(id) => Filter::named(id),
            Which::Traces(ids) => Filter::of_traces(ids),
            Which::Message(id) => Filter::message(id),
        };
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || logs::read(&dir, &filter, None)).await?
    }

    fn query(&self, which: &Which) -> Query {
        let text = match which {
            Which::Order(id) => format!("make logs ORDER={id}"),
            Which::Traces(ids) => {
                let commands: Vec<String> = ids.iter().map(|id| format!("make logs TRACE={id}")).collect();
                commands.join("; ")
            }
            Which::Message(id) => format!("grep {id} logs/*.log"),
            Which::Since(_) => "make logs FOLLOW=1".to_owned(),
        };
        Query::new("shell", text)
    }

    fn keeps_lines(&self) -> bool {
        true
    }
}

/// A directory of e-mails. The mailer names each file by its order, so that an order has at most one.
pub struct MailFiles(PathBuf);

impl MailFiles {
    /// The e-mails in this directory.
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    fn file(&self, order: &str) -> PathBuf {
        self.0.join(format!("{order}.eml"))
    }
}

#[async_trait]
impl Inbox for MailFiles {
    async fn emails(&self, order: &str) -> Result<usize> {
        let file = self.file(order);
        let there = file.try_exists().with_context(|| format!("cannot check for {}", file.display()))?;
        Ok(usize::from(there))
    }

    async fn email(&self, order: &str) -> Result<Option<Email>> {
        let file = self.file(order);
        match fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            text => {
                let text = text.with_context(|| format!("cannot read {}", file.display()))?;
                Ok(Some(read(&String::from_utf8_lossy(&text))))
            }
        }
    }

    fn query(&self, order: &str) -> Query {
        Query::new("shell", format!("cat {}", self.file(order).display()))
    }
}

/// The e-mail in a file: one part of plain text in quoted-printable, as the mailer writes it.
fn read(text: &str) -> Email {
    let text = text.replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let unfolded = head.replace("\n ", " ").replace("\n\t", " ");
    let header = |name: &str| {
        let mut lines = unfolded.lines().filter_map(|line| line.split_once(':'));
        let value = lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        value.unwrap_or_default().to_owned()
    };
    let decoded = quoted_printable::decode(body, quoted_printable::ParseMode::Robust);
    let decoded = decoded.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Email {
        message_id: header("message-id").trim_matches(['<', '>']).to_owned(),
        from: header("from"),
        to: header("to"),
        subject: header("subject"),
        date: header("date"),
        text: decoded.unwrap_or_else(|_| body.to_owned()).replace("\r\n", "\n"),
        page: None,
        count: 1,
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
