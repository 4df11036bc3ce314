//! `stacks dead-letters`, `stacks replay` and `stacks discard`: e-mails and messages that the mailer no longer retries.
//! `stacks dead-letter`, in [`story`], shows one.

pub mod story;

use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    output::show,
    settings::Options,
    stack::{
        Places,
        operator::{self, Asked, Service},
    },
    style::{Style, uptime},
    table::{Cell, Table},
};

/// Dead letters of a list; the mailer is asked for one more, so that more are known of.
const SHOWN: usize = 100;
/// The longest list that the mailer makes.
pub(crate) const MAX_LISTED: usize = 1000;

/// The dead letters to replay or discard.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Selection {
    /// The dead letter of this event
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
    /// All dead letters
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

#[derive(Deserialize)]
struct Discarded {
    discarded: u64,
}

/// Lists the dead letters, the oldest first.
///
/// # Errors
/// When the mailer does not answer.
pub async fn list(options: &Options, json: bool) -> Result<()> {
    let limit = Some(if json { MAX_LISTED } else { SHOWN + 1 });
    let asked = Asked { limit, ..Asked::to_read(Service::Mailer, &["dead-letters"]) };
    let letters: Value = ask(options, asked).await?;
    if json {
        return show(&format!("{letters:#}\n"));
    }
    let letters = serde_json::from_value(letters).context("cannot read the mailer's list")?;
    show(&table(letters, Style::for_stdout()))
}

/// Replays one dead letter, or all.
///
/// # Errors
/// When the mailer does not answer, or does not know the event.
pub async fn replay(options: &Options, args: &Selection) -> Result<()> {
    let path = match &args.event {
        Some(event) => vec!["dead-letters", event, "replay"],
        None => vec!["dead-letters", "replay"],
    };
    let Replayed { replayed } = ask(options, Asked::to_change(Service::Mailer, Method::POST, &path)).await?;
    show(&match replayed {
        0 => "there are no dead letters\n".to_owned(),
        _ => format!("{replayed} replayed; `make dead-letters` lists those that fail again\n"),
    })
}

/// Discards one dead letter, or all.
///
/// # Errors
/// When the mailer does not answer, or does not know the event.
pub async fn discard(options: &Options, args: &Selection) -> Result<()> {
    let path: Vec<&str> = ["dead-letters"].into_iter().chain(args.event.as_deref()).collect();
    let Discarded { discarded } =
        ask(options, Asked::to_change(Service::Mailer, Method::DELETE, &path)).await?;
    show(&match discarded {
        0 => "there are no dead letters\n".to_owned(),
        _ => format!("{discarded} discarded: no attempt will be made for them\n"),
    })
}

async fn ask<T: DeserializeOwned>(options: &Options, asked: Asked<'_>) -> Result<T> {
    let answer = operator::ask(&Places::open(options)?, asked).await?;
    serde_json::from_value(answer).context("cannot read the mailer's answer")
}

fn table(letters: Vec<DeadLetter>, style: Style) -> String {
    if letters.is_empty() {
        return "there are no dead letters\n".to_owned();
    }
    let mut table = Table::new(style, &[">age", "state", "order", "trace", "reason"]);
    let has_more = letters.len() > SHOWN;
    for letter in letters.into_iter().take(SHOWN) {
        let age = letter.age_seconds.map_or_else(|| "-".into(), |age| uptime(Duration::from_secs(age)));
        let [order, trace] =
            [&letter.order_id, &letter.trace_id].map(|id| id.as_deref().unwrap_or("-").to_owned());
        table.row([age, letter.state, order, trace, printable(&letter.reason)].map(Cell::plain));
        let event = letter.event_id.as_deref().map(printable);
        table.note(Cell::dim(format!("event {}", event.as_deref().unwrap_or("without an id"))));
    }
    let more = match has_more {
        true => format!(
            "the {SHOWN} oldest are shown, and there are more; `stacks dead-letters --json` lists {MAX_LISTED}\n"
        ),
        false => String::new(),
    };
    table.text()
        + &more
        + "next: make dead-letter EVENT=<event> shows one; make replay EVENT=<event>, or EVENT=all; make discard gives \
           them up\n"
}

/// Replaces control characters: message ids and mail servers' texts come from outside and must not control the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_a_row_with_its_event_id() {
        let letters = serde_json::json!([{
            "eventId": "e\u{1b}[31m1", "orderId": "01890000-0000-7000-8000-000000000002", "traceId": null,
            "state": "dead", "reason": "550 no such user", "attempts": 1, "ageSeconds": 1020,
        }]);
        let shown = table(serde_json::from_value(letters).unwrap(), Style::PLAIN);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].starts_with("17 min  dead   01890000-0000-7000-8000-000000000002  -"), "{shown}");
        assert!(lines[1].ends_with("550 no such user"), "{shown}");
        assert_eq!(lines[2].trim(), "event e [31m1");
        assert!(!shown.contains("there are more"), "{shown}");
    }

    #[test]
    fn a_list_says_when_there_are_more() {
        let letter = serde_json::json!({"eventId": "e", "state": "dead", "reason": "550", "ageSeconds": 1});
        let letters = |number| serde_json::from_value(vec![letter.clone(); number].into()).unwrap();
        assert!(!table(letters(100), Style::PLAIN).contains("there are more"));
        let shown = table(letters(101), Style::PLAIN);
        assert!(shown.contains("the 100 oldest are shown, and there are more"), "{shown}");
        assert_eq!(shown.matches("event e\n").count(), 100, "{shown}");
    }
}
