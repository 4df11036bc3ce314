//! Collects a history from outside once a fault is over: orders, e-mails, log lines, metrics, queues and processes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::Value;
use stacks::{local::layout::Component, process::Process};
use testkit::smtp::Received;
use tokio::time::sleep;

use super::{
    history::{Email, Footprint, History, Operation, Order, Outcome, Recovery},
    plan::CANARY,
    system::System,
};

/// The mailer's log message before it sends an e-mail again that may have been delivered.
const DECLARATION: &str = "an e-mail may be sent twice";
/// A part of Rust's message about a panic on standard error.
const PANIC: &str = "panicked at";
/// How long RabbitMQ may take to move refused messages to the parking queue.
const MAX_PARKING: Duration = Duration::from_secs(10);

/// How much of the evidence is read.
#[derive(Default)]
pub(crate) struct Evidence {
    /// Bytes of each log file.
    logs: BTreeMap<PathBuf, u64>,
    /// E-mails of the mail server.
    emails: usize,
    /// The customers of earlier rounds.
    customers: BTreeSet<String>,
}

/// The signals of the services.
#[derive(Default)]
struct Signals {
    /// By order, how often its e-mail was declared uncertain.
    declared: BTreeMap<String, usize>,
    /// Places that contain an address or a secret.
    leaks: Vec<String>,
    panics: Vec<String>,
}

impl Evidence {
    /// The history since the last call.
    pub(crate) async fn collect(
        &mut self,
        system: &mut System,
        operations: Vec<Operation>,
        recovery: Recovery,
    ) -> Result<History> {
        let settled = operations.iter().filter_map(|one| Some(one.settled()?.1.to_owned()));
        let settled: BTreeSet<String> = settled.collect();
        let orders = system.orders(settled.into_iter().collect()).await?;
        let orders = orders.iter().map(|(id, order)| Ok((id.clone(), read_order(order)?)));
        let orders = orders.collect::<Result<_>>()?;
        let dead_letters = dead_letters(system).await?;
        let poison = std::mem::take(&mut system.poison);
        let parked = parked(system, poison.len()).await?;
        let Signals { declared, leaks, panics } = self.signals(system).await?;
        let mut bad_endings = std::mem::take(&mut system.bad_endings);
        bad_endings.extend(panics);
        Ok(History {
            emails: self.emails(system, &operations),
            operations,
            orders,
            declared,
            dead_letters,
            poison: poison.into_iter().map(String::into_bytes).collect(),
            parked: parked.into_iter().map(String::into_bytes).collect(),
            leaks,
            bad_endings,
            footprints: footprints(system)?,
            recovery,
        })
    }

    /// The e-mails since the last [collected](Self::collect) history.
    pub(crate) fn new_emails(&self, system: &System) -> Vec<Received> {
        system.mail.accepted_after(self.emails)
    }

    /// The new e-mails without those to customers of earlier rounds, which are judged in the end.
    fn emails(&mut self, system: &System, operations: &[Operation]) -> Vec<Email> {
        let new = self.new_emails(system);
        self.emails += new.len();
        let is_ours = |email: &Received| !email.to.iter().all(|to| self.customers.contains(to));
        let emails = new.iter().filter(|email| is_ours(email)).map(read_email).collect();
        self.customers.extend(operations.iter().map(|one| one.recipient.clone()));
        emails
    }

    async fn signals(&mut self, system: &System) -> Result<Signals> {
        let secrets: Vec<&str> = ["PAYMENT_TOKEN", "MAILER_TOKEN", "ALERTS_TOKEN"]
            .into_iter()
            .filter_map(|name| system.stack.setting(name))
            .chain([CANARY, system.broker.node.password.as_str()])
            .collect();
        let mut signals = Signals::default();
        let Signals { declared, leaks, panics } = &mut signals;
        let mut search = |place: &str, text: &str| {
            let leaking = text.lines().find(|line| secrets.iter().any(|secret| line.contains(secret)));
            if let Some(line) = leaking {
                leaks.push(format!("{place} contains an address or a secret: {line}"));
            }
        };
        let directory = system.stack.log_dir();
        for file in std::fs::read_dir(&directory).context("cannot list the log files")? {
            let path = file?.path();
            let text = self.unread(&path)?;
            search(&path.display().to_string(), &text);
            panics.extend(text.lines().filter(|line| line.contains(PANIC)).map(str::to_owned));
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

    /// The new whole lines of a file.
    fn unread(&mut self, path: &PathBuf) -> Result<String> {
        let known = self.logs.entry(path.clone()).or_default();
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(*known))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let mut bytes = read().with_context(|| format!("cannot read {}", path.display()))?;
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        *known += bytes.len() as u64;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// All e-mails that the mail server has ever accepted.
pub(crate) fn emails(system: &System) -> Vec<Email> {
    system.mail.accepted().iter().map(read_email).collect()
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

fn read_email(email: &Received) -> Email {
    let after = |start: &str| {
        let line = email.text.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap_or_default().trim_end_matches(':').to_owned()
    };
    Email {
        to: email.to.clone(),
        message_id: after("Message-ID: "),
        order: after("Your order "),
        text: email.text.clone(),
        at: email.at,
    }
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

fn footprints(system: &System) -> Result<Vec<Footprint>> {
    let footprint = |(service, process): (Component, Process)| {
        let process = procfs::process::Process::new(process.pid)?;
        let memory = process.stat()?.rss * procfs::page_size();
        Ok(Footprint { service: service.name(), memory, files: process.fd_count()? })
    };
    system.processes().map(footprint).collect()
}
