//! `stacks dead-letters` and `stacks replay`: what the mailer has given up, and the way back for it.

use std::io::{Write as _, stdout};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::{Client, Method, Url};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    http,
    local::{Options, Stack},
    style::{Style, uptime},
};

/// The mailer looks into the parking queue and moves messages, and that may take it longer than a probe.
const PATIENCE: Duration = Duration::from_secs(90);

/// What to put back.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct ReplayWanted {
    /// The dead letter of this event
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
    /// All of them
    #[arg(long)]
    pub all: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeadLetter {
    event_id: Option<String>,
    order_id: Option<String>,
    trace_id: Option<String>,
    state: String,
    reason: String,
    age_seconds: Option<u64>,
}

#[derive(Deserialize)]
struct Replayed {
    replayed: u64,
}

/// Lists the dead letters, the oldest first.
pub async fn list(options: &Options, json: bool) -> Result<()> {
    let stack = Stack::open(options)?;
    let letters: Value = ask(&stack, Method::GET, &["dead-letters"]).await?;
    if json {
        return show(&format!("{letters:#}\n"));
    }
    let letters = serde_json::from_value(letters).context("the mailer's list is not the documented one")?;
    show(&table(letters, Style::for_stdout()))
}

/// Puts back one dead letter, or all.
pub async fn replay(options: &Options, wanted: &ReplayWanted) -> Result<()> {
    let stack = Stack::open(options)?;
    let path = match &wanted.event {
        Some(event) => vec!["dead-letters", event, "replay"],
        None => vec!["dead-letters", "replay"],
    };
    let Replayed { replayed } = ask(&stack, Method::POST, &path).await?;
    show(&match replayed {
        0 => "there are no dead letters\n".to_owned(),
        _ => format!("{replayed} put back; `make dead-letters` shows what comes again\n"),
    })
}

async fn ask<T: DeserializeOwned>(stack: &Stack, method: Method, path: &[&str]) -> Result<T> {
    let token = stack
        .setting("MAILER_TOKEN")
        .context("there is no MAILER_TOKEN yet; `make up` writes one to .env")?;
    let mailer = stack.mailer_url();
    let mut url: Url = mailer.parse().context("the address of the mailer makes no URL")?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(path);
    }
    let client: Client = http::client()?;
    let request = client.request(method, url).bearer_auth(token).timeout(PATIENCE);
    let response = match request.send().await {
        Err(error) => bail!("the mailer at {mailer} {}; is the stack up? `make up`", http::brief(&error)),
        Ok(response) => response,
    };
    let status = response.status();
    let body = response.text().await.unwrap_or_default();
    if !status.is_success() {
        let problem: Option<Value> = serde_json::from_str(&body).ok();
        let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str()).unwrap_or(body.trim());
        bail!("the mailer at {mailer} answered {status}: {detail}");
    }
    serde_json::from_str(&body).context("the mailer's answer is not the documented one")
}

fn table(letters: Vec<DeadLetter>, style: Style) -> String {
    if letters.is_empty() {
        return "there are no dead letters\n".to_owned();
    }
    let row = |age: &str, state: &str, order: &str, trace: &str, reason: &str| {
        format!("{age:>10}  {state:9}  {order:36}  {trace:32}  {reason}\n")
    };
    let mut text = style.dim(&row("age", "state", "order", "trace", "reason"));
    for letter in letters {
        let age = letter.age_seconds.map_or_else(|| "-".into(), |age| uptime(Duration::from_secs(age)));
        let order = letter.order_id.as_deref().unwrap_or("-");
        let trace = letter.trace_id.as_deref().unwrap_or("-");
        text += &row(&age, &letter.state, order, trace, &printable(&letter.reason));
        let event = letter.event_id.as_deref().map(printable);
        text += &style.dim(&format!("{:10}  event {}\n", "", event.as_deref().unwrap_or("without an id")));
    }
    text
}

/// Ids of messages and words of mail servers come from outside: none of them may steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

fn show(text: &str) -> Result<()> {
    stdout().lock().write_all(text.as_bytes()).context("cannot write to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_a_row_and_the_id_to_replay_it_with() {
        let letters = serde_json::json!([{
            "eventId": "e\u{1b}[31m1", "orderId": "01890000-0000-7000-8000-000000000002", "traceId": null,
            "state": "dead", "reason": "550 no such user", "attempts": 1, "ageSeconds": 1020,
        }]);
        let shown = table(serde_json::from_value(letters).unwrap(), Style::PLAIN);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(
            lines[1].starts_with("    17 min  dead       01890000-0000-7000-8000-000000000002  -"),
            "{shown}"
        );
        assert!(lines[1].ends_with("550 no such user"), "{shown}");
        assert_eq!(lines[2].trim(), "event e [31m1");
    }
}
