//! The services' log files read as one log: merged by time, filtered by order or trace. No service needs to run.

mod follow;
mod line;

use std::{
    collections::{BTreeSet, VecDeque},
    fs::{self, File},
    io::{BufRead as _, BufReader, ErrorKind},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

pub use self::{follow::Follow, line::Line};

/// The services, by the name that their log files begin with.
pub const SERVICES: [&str; 3] = ["order-gateway", "payment-service", "email-service"];

/// Selects log lines.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    order: Option<String>,
    message: Option<String>,
    traces: BTreeSet<String>,
}

impl Filter {
    /// The lines of one trace.
    pub fn trace(id: &str) -> Self {
        Self { traces: [id.to_ascii_lowercase()].into(), ..Self::default() }
    }

    /// The lines of one order: those with its id, and those of their traces.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn order(dir: &Path, id: &str) -> Result<Self> {
        let named = Self::named(id);
        let traces =
            read(dir, &named, None)?.iter().filter_map(|line| line.trace().map(str::to_owned)).collect();
        Ok(Self { traces, ..named })
    }

    /// The lines that name an order, without the others of its traces.
    pub(crate) fn named(id: &str) -> Self {
        Self { order: Some(id.to_owned()), ..Self::default() }
    }

    /// The lines that name an event, whose id is that of its message.
    pub(crate) fn message(id: &str) -> Self {
        Self { message: Some(id.to_owned()), ..Self::default() }
    }

    /// The lines of these traces.
    pub(crate) fn of_traces(ids: &[String]) -> Self {
        Self { traces: ids.iter().cloned().collect(), ..Self::default() }
    }

    /// True if every line is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.order.is_none() && self.message.is_none() && self.traces.is_empty()
    }

    fn selects(&self, line: &Line) -> bool {
        self.is_everything()
            || line.trace().is_some_and(|trace| self.traces.contains(trace))
            || line.order().is_some_and(|order| self.order.as_deref() == Some(order))
            || line.text("messaging.message.id").is_some_and(|id| self.message.as_deref() == Some(id))
    }

    /// True if the text may be a selected line; cheaper than parsing.
    fn may_select(&self, text: &str) -> bool {
        let mut ids = self.order.iter().chain(&self.message).chain(&self.traces);
        self.is_everything() || ids.any(|id| text.contains(id.as_str()))
    }
}

/// The selected lines of all services by time; at most `limit`, the newest.
///
/// # Errors
/// When a file cannot be read.
pub fn read(dir: &Path, filter: &Filter, limit: Option<usize>) -> Result<Vec<Line>> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut lines = Vec::new();
    for service in SERVICES {
        let mut wanted = VecDeque::new();
        for file in files(dir, service)? {
            let open = File::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
            for text in BufReader::new(open).split(b'\n') {
                let text = text.with_context(|| format!("cannot read {}", file.display()))?;
                let Some(line) = select(service, &String::from_utf8_lossy(&text), filter) else { continue };
                if wanted.len() == limit {
                    wanted.pop_front();
                }
                wanted.push_back(line);
            }
        }
        lines.extend(wanted);
    }
    // Stable: lines of one service with the same time stay as written.
    lines.sort_by_key(|line| line.time);
    let surplus = lines.len().saturating_sub(limit);
    Ok(lines.split_off(surplus))
}

fn select(service: &str, text: &str, filter: &Filter) -> Option<Line> {
    if text.trim().is_empty() || !filter.may_select(text) {
        return None;
    }
    Some(Line::parse(service, text)).filter(|line| filter.selects(line))
}

fn current(dir: &Path, service: &str) -> PathBuf {
    dir.join(format!("{service}.log"))
}

/// The files of a service, the oldest first: `SERVICE.log`, `SERVICE.2.log` of a second process, and rotated ones.
fn files(dir: &Path, service: &str) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read the directory {}", dir.display()))?,
    };
    let is_its = |name: &str| {
        name.strip_prefix(service).is_some_and(|rest| rest.starts_with('.') && rest.contains(".log"))
    };
    let mut files: Vec<_> = entries
        .flatten()
        .filter(|entry| is_its(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write =
            |file: &str, lines: &[&str]| fs::write(dir.path().join(file), lines.join("\n") + "\n").unwrap();
        write(
            "order-gateway.log",
            &[
                r#"{"@timestamp":"2026-01-02T03:04:05.100Z","message":"order accepted","trace.id":"aa","order.id":"o-1"}"#,
                r#"{"@timestamp":"2026-01-02T03:04:05.900Z","message":"another","trace.id":"bb","order.id":"o-2"}"#,
            ],
        );
        write(
            "payment-service.log.1",
            &[r#"{"@timestamp":"2026-01-02T03:04:05.200Z","message":"decided","trace.id":"aa"}"#],
        );
        write(
            "email-service.2.log",
            &[r#"{"@timestamp":"2026-01-02T03:04:05.3+00:00","message":"sent","order.id":"o-1"}"#],
        );
        dir
    }

    fn messages(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.message.as_str()).collect()
    }

    #[test]
    fn the_lines_of_an_order_are_merged_by_time() {
        let dir = logged();
        let filter = Filter::order(dir.path(), "o-1").unwrap();
        let lines = read(dir.path(), &filter, None).unwrap();
        assert_eq!(messages(&lines), ["order accepted", "decided", "sent"]);
    }

    #[test]
    fn a_limit_keeps_the_newest_lines() {
        let dir = logged();
        let lines = read(dir.path(), &Filter::trace("AA"), None).unwrap();
        assert_eq!(messages(&lines), ["order accepted", "decided"]);
        let lines = read(dir.path(), &Filter::default(), Some(2)).unwrap();
        assert_eq!(messages(&lines), ["sent", "another"]);
    }

    #[test]
    fn an_absent_directory_has_no_lines() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("logs");
        assert!(read(&nowhere, &Filter::order(&nowhere, "o-1").unwrap(), None).unwrap().is_empty());
    }
}
