//! `stacks dead-letter`: one dead letter with its attempts, its event and its trace, on the stack that runs.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::{ask, printable};
use crate::{
    output::{show, terminal_width},
    settings::Options,
    stack::{
        Backends,
        operator::{Asked, Service},
    },
    style::{Style, uptime},
    trace::Trace,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Story {
    event_id: Option<String>,
    order_id: Option<String>,
    trace_id: Option<String>,
    replay_trace_id: Option<String>,
    state: String,
    reason: String,
    attempts: u32,
    received_at: Option<String>,
    age_seconds: Option<u64>,
    history: Vec<Attempt>,
    event: Option<Value>,
}

#[derive(Deserialize)]
struct Attempt {
    at: Option<String>,
    answer: String,
}

/// Shows one dead letter, with its trace where the backend of the stack that runs has it.
///
/// # Errors
/// When the mailer does not answer, or does not know the event.
pub async fn show_one(options: &Options, event: &str, json: bool) -> Result<()> {
    let story: Value = ask(options, Asked::to_read(Service::Mailer, &["dead-letters", event])).await?;
    if json {
        return show(&format!("{story:#}\n"));
    }
    let story: Story = serde_json::from_value(story).context("cannot read the mailer's answer")?;
    let mut text = told(&story);
    for (what, id) in [("order", &story.trace_id), ("replay", &story.replay_trace_id)] {
        if let Some(id) = id {
            let tree = match trace(options, id).await {
                Ok(Some(trace)) => trace.tree(Style::for_stdout(), terminal_width()),
                Ok(None) => format!("the trace backend does not have {id} (any more)\n"),
                Err(error) => format!("{error:#}\n"),
            };
            write!(text, "\ntrace of the {what}\n{tree}")?;
        }
    }
    let event = printable(event);
    write!(text, "\nnext: make logs ORDER={}", story.order_id.as_deref().unwrap_or("<id>"))?;
    show(&format!("{text}; make replay EVENT={event}, or make discard EVENT={event}\n"))
}

async fn trace(options: &Options, id: &str) -> Result<Option<Trace>> {
    Backends::find(options, None).await?.traces.trace(id).await
}

fn told(story: &Story) -> String {
    let or_none = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), printable);
    let age = story.age_seconds.map(|age| format!(", {} ago", uptime(Duration::from_secs(age))));
    let received = or_none(&story.received_at) + &age.unwrap_or_default();
    let mut rows = vec![
        ("event", or_none(&story.event_id)),
        ("state", story.state.clone()),
        ("order", or_none(&story.order_id)),
        ("trace", or_none(&story.trace_id)),
        ("replayed", or_none(&story.replay_trace_id)),
        ("received", received),
        ("reason", printable(&story.reason)),
        ("attempts", story.attempts.to_string()),
    ];
    let attempt =
        |attempt: &Attempt| ("", format!("{}  {}", or_none(&attempt.at), printable(&attempt.answer)));
    rows.extend(story.history.iter().map(attempt));
    let mut text: String = rows.iter().map(|(name, value)| format!("{name:<9} {value}\n")).collect();
    text += &match &story.event {
        // JSON escapes control characters.
        Some(event) => format!("\nevent without personal data\n{event:#}\n"),
        None => "\nthe message is no JSON\n".to_owned(),
    };
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_story_has_each_attempt_with_its_time_and_answer() {
        let story = json!({
            "eventId": "e1", "orderId": null, "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "replayTraceId": null,
            "state": "dead", "reason": "550 no\u{1b}[31m user", "attempts": 2, "ageSeconds": 90,
            "receivedAt": "2026-11-30T14:00:00Z",
            "history": [{"at": "2026-11-30T14:00:01Z", "answer": "451 later"}, {"at": null, "answer": "550"}],
            "event": {"id": "e1", "data": {"customer": "[redacted]"}},
        });
        let shown = told(&serde_json::from_value(story).unwrap());
        for line in [
            "event     e1",
            "state     dead",
            "order     -",
            "trace     4bf92f3577b34da6a3ce929d0e0e4736",
            "reason    550 no [31m user",
            "attempts  2",
            "          2026-11-30T14:00:01Z  451 later",
            "          -  550",
            "    \"customer\": \"[redacted]\"",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} is missing in\n{shown}");
        }
    }
}
