//! Collects a history from outside once a fault is over: orders, e-mails, log lines, metrics, queues and processes.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::Value;
use stacks::local::layout::Component;
use testkit::smtp::Received;
use tokio::time::sleep;

use super::{
    history::{Email, History, Operation, Order, Outcome, Recovery},
    plan::CANARY,
    system::System,
};

/// The mailer's log message before it sends an e-mail again that may have been delivered.
const DECLARATION: &str = "an e-mail may be sent twice";
/// How the levels above information are written in a line.
const WARNING_LEVELS: [&str; 3] =
    [r#""log.level":"warn""#, r#""log.level":"error""#, r#""log.level":"critical""#];
/// A part of Rust's message about a panic on standard error.
const PANIC: &str = "panicked at";
/// How long RabbitMQ may take to move refused messages to the parking queue.
const MAX_PARKING: Duration = Duration::from_secs(10);

/// How much of the evidence is read.
#[derive(Default)]
pub(crate) struct Evidence {
    logs: Positions,
    /// E-mails that are in no history yet.
    emails: Vec<Email>,
    /// E-mails to customers of earlier rounds.
    late: Vec<Email>,
    /// The recipients of this round's e-mails, hashed.
    served: HashSet<u64>,
    /// The customers of earlier rounds, hashed: a run may have millions.
    customers: HashSet<u64>,
}

/// Bytes that were read of each log file, by inode and time of birth: a file is renamed when it is full, and the inode of one
/// that was removed is used again.
#[derive(Default)]
struct Positions(BTreeMap<(u64, Option<SystemTime>), u64>);

/// The signals of the services.
#[derive(Default)]
struct Signals {
    /// By order, how often its e-mail was declared uncertain.
    declared: BTreeMap<String, usize>,
    /// Places that contain an address or a secret.
    leaks: Vec<String>,
    panics: Vec<String>,
    /// The messages of log lines that warn.
    warnings: BTreeSet<String>,
    /// The traces of these lines.
    explained: BTreeSet<String>,
}

impl Evidence {
    /// The history since the last call, without the records of the orders.
    pub(crate) async fn collect(
        &mut self,
        system: &mut System,
        operations: Vec<Operation>,
        recovery: Recovery,
    ) -> Result<History> {
        let dead_letters = dead_letters(system).await?;
        let poison = std::mem::take(&mut system.poison);
        let parked = parked(system, poison.len()).await?;
        let Signals { declared, leaks, panics, warnings, explained } = self.signals(system).await?;
        let kills = std::mem::take(&mut system.kills);
        let mut bad_endings = std::mem::take(&mut system.bad_endings);
        bad_endings.extend(panics);
        Ok(History {
            emails: self.emails(system, &operations),
            operations,
            orders: BTreeMap::new(),
            declared,
            dead_letters,
            poison: poison.into_iter().map(String::into_bytes).collect(),
            parked: parked.into_iter().map(String::into_bytes).collect(),
            leaks,
            bad_endings,
            signals: warnings.into_iter().collect(),
            explained,
            kills,
            unfailed: self.unfailed(system),
            alarms: Vec::new(),
            hidden: None,
            footprints: Vec::new(),
            at_rest: Vec::new(),
            clients: 0,
            asking: 1,
            cores: std::thread::available_parallelism()?.get(),
            recovery,
        })
    }

    /// Takes the new e-mails out of the mail server.
    pub(crate) fn gather_emails(&mut self, system: &System) {
        for email in system.mail.take_accepted() {
            self.served.extend(email.to.iter().map(|to| hash(to)));
            let is_late = email.to.iter().all(|to| self.customers.contains(&hash(to)));
            if is_late { &mut self.late } else { &mut self.emails }.push(read_email(email));
        }
    }

    /// True if an e-mail to this customer was gathered in this round.
    pub(crate) fn is_served(&self, customer: &str) -> bool {
        self.served.contains(&hash(customer))
    }

    /// The e-mails to customers of earlier rounds that have come since the last call.
    pub(crate) fn late_emails(&mut self, system: &System) -> Vec<Email> {
        self.gather_emails(system);
        std::mem::take(&mut self.late)
    }

    /// The new e-mails without those to customers of earlier rounds.
    fn emails(&mut self, system: &System, operations: &[Operation]) -> Vec<Email> {
        self.gather_emails(system);
        self.served.clear();
        self.customers.extend(operations.iter().map(|one| hash(&one.recipient)));
        std::mem::take(&mut self.emails)
    }

    fn unfailed(&self, system: &System) -> BTreeSet<String> {
        let outcomes = system.telemetry.take_outcomes();
        outcomes.into_iter().filter_map(|(trace, failed)| (!failed).then_some(trace)).collect()
    }

    async fn signals(&mut self, system: &System) -> Result<Signals> {
        let secrets: Vec<&str> = ["PAYMENT_TOKEN", "MAILER_TOKEN", "ALERTS_TOKEN"]
            .into_iter()
            .filter_map(|name| system.stack.setting(name))
            .chain([CANARY, system.broker.node.password.as_str()])
            .collect();
        let mut signals = Signals::default();
        let Signals { declared, leaks, panics, warnings, explained } = &mut signals;
        let mut search = |place: &str, text: &str| {
            let leaking = text.lines().find(|line| secrets.iter().any(|secret| line.contains(secret)));
            if let Some(line) = leaking {
                leaks.push(format!("{place} contains an address or a secret: {line}"));
            }
        };
        let directory = system.stack.log_dir();
        for file in std::fs::read_dir(&directory).context("cannot list the log files")? {
            let path = file?.path();
            let text = self.logs.unread(&path)?;
            search(&path.display().to_string(), &text);
            panics.extend(text.lines().filter(|line| line.contains(PANIC)).map(str::to_owned));
            for (warning, trace) in text.lines().filter_map(read_warning) {
                warnings.insert(warning);
                explained.extend(trace);
            }
            let declarations = text.lines().filter(|line| line.contains(DECLARATION));
            for line in declarations.filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
                if line["message"] == DECLARATION {
                    let order = line["order.id"].as_str().unwrap_or_default().to_owned();
                    *declared.entry(order).or_default() += 1;
                }
            }
        }
        for service in Component::SERVICES {
            search(&format!("the metrics of {service}"), &system.metrics(service).await?);
        }
        Ok(signals)
    }
}

impl Positions {
    /// The new whole lines of a file.
    fn unread(&mut self, path: &Path) -> Result<String> {
        let failed = || format!("cannot read {}", path.display());
        let mut file = File::open(path).with_context(failed)?;
        let about = file.metadata().with_context(failed)?;
        let known = self.0.entry((about.ino(), about.created().ok())).or_default();
        file.seek(SeekFrom::Start(*known)).with_context(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(failed)?;
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        *known += bytes.len() as u64;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Adds the records of the accepted orders to a history.
///
/// # Errors
/// When the gateway does not answer.
pub(crate) async fn ask_orders(system: &System, history: &mut History) -> Result<()> {
    let settled = history.operations.iter().filter_map(|one| Some(one.settled()?.1.to_owned()));
    let settled: BTreeSet<String> = settled.collect();
    for (id, order) in system.orders(settled.into_iter().collect(), history.asking).await? {
        history.orders.insert(id, read_order(&order)?);
    }
    Ok(())
}

fn hash(recipient: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    recipient.hash(&mut hasher);
    hasher.finish()
}

/// Service and message of a log line that warns, and its trace.
fn read_warning(line: &str) -> Option<(String, Option<String>)> {
    // Most lines inform, and need not be parsed.
    let level = WARNING_LEVELS.iter().find(|level| line.contains(*level))?;
    let line: Value = serde_json::from_str(line).ok()?;
    let (service, message) = (line["service.name"].as_str()?, line["message"].as_str()?);
    let level = level.trim_matches('"').rsplit('"').next()?;
    let trace = line["trace.id"].as_str().map(str::to_owned);
    Some((format!("log of {service}, {level}: {message}"), trace))
}

fn read_order(order: &Value) -> Result<Order> {
    let text = |key: &str| {
        let value = order[key].as_str().map(str::to_owned);
        value.with_context(|| format!("the gateway's answer about an order lacks {key}: {order}"))
    };
    Ok(Order {
        outcome: if text("status")? == "paid" { Outcome::Paid } else { Outcome::Declined },
        amount: text("amount")?,
        currency: text("currency")?,
        published: text("event")? == "published",
    })
}

fn read_email(email: Received) -> Email {
    let after = |start: &str| {
        let line = email.text.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap_or_default().trim_end_matches(':').to_owned()
    };
    let (message_id, order) = (after("Message-ID: "), after("Your order "));
    Email { to: email.to, message_id, order, text: email.text, at: email.at }
}

async fn dead_letters(system: &System) -> Result<BTreeSet<String>> {
    let letters = system.dead_letters(Method::GET, "/dead-letters?limit=1000").await?;
    let letters = letters.as_array().map_or(&[][..], Vec::as_slice).iter();
    let emails = letters.filter(|letter| letter["state"] != "parked");
    Ok(emails.filter_map(|letter| letter["orderId"].as_str().map(str::to_owned)).collect())
}

async fn parked(system: &System, expected: usize) -> Result<Vec<String>> {
    let deadline = Instant::now() + MAX_PARKING;
    let mut parked = system.parked().await?;
    while parked.len() < expected && Instant::now() < deadline {
        sleep(Duration::from_millis(100)).await;
        parked.extend(system.parked().await?);
    }
    Ok(parked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_once_and_those_of_a_new_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let (file, full) = (dir.path().join("a.log"), dir.path().join("a.log.1"));
        let mut positions = Positions::default();
        std::fs::write(&file, "one\ntwo\nhalf").unwrap();
        assert_eq!(positions.unread(&file).unwrap(), "one\ntwo\n");
        std::fs::rename(&file, &full).unwrap();
        assert_eq!(positions.unread(&full).unwrap(), "");
        // The new file often gets the inode of the old one.
        std::fs::remove_file(full).unwrap();
        std::fs::write(&file, "six\nten\nhalf").unwrap();
        assert_eq!(positions.unread(&file).unwrap(), "six\nten\n");
    }
}
