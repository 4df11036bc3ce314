//! Rows that cannot be decoded: they must be set aside and counted, and the others must flow.

use std::time::{Duration, Instant};

use anyhow::Result;
use reqwest::Method;
use stacks::{
    local::layout::Component::{self, Mailer, Payment},
    process::Signal,
};
use testkit::smtp::{Behavior, State};
use tokio::time::sleep;

use super::store::run;
use crate::{faults::scene::Scene, proxy::Line};

/// How long a service may take until a damaged row is set aside.
const MAX_SET_ASIDE: Duration = Duration::from_secs(10);
/// A row must wait before it can be damaged.
const MAX_BACKLOG: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// `{{`: no JSON begins so.
const DAMAGE: &str = "payload = CAST(x'7b' || payload AS BLOB)";
const REPAIR: &str = "payload = CAST(substr(payload, 2) AS BLOB)";

/// Damages an event that waits for the broker. Payment is stopped for the repair, as an operator does it.
pub(super) async fn damage_event(scene: &mut Scene<'_>) -> Result<()> {
    let counted = "messaging_published_total{outcome=\"set_aside\"}";
    let before = scene.system.metric(Payment, counted).await?;
    scene.system.line.set(Line::Blocked);
    let waits = "published_at IS NULL AND error IS NULL AND lease IS NULL ORDER BY created_at";
    let event = damage(scene, Payment, "outbox", waits).await;
    scene.system.line.set(Line::Open);
    let event = event?;
    let reason = format!("SELECT error FROM outbox WHERE event_id = '{event}'");
    expect_set_aside(scene, Payment, &reason, (counted, before)).await?;

    scene.system.end(Payment, Signal::TERM)?;
    let repair = format!("UPDATE outbox SET {REPAIR}, error = NULL WHERE event_id = '{event}'");
    run(scene, Payment, &repair).await?;
    scene.system.revive(&[Payment]).await
}

/// Damages an event whose e-mail waits for the mail server, and replays it after the repair.
pub(super) async fn damage_email(scene: &mut Scene<'_>) -> Result<()> {
    let counted = "emails_sent_total{outcome=\"dead\"}";
    let before = scene.system.metric(Mailer, counted).await?;
    scene.system.mail.set(State::Down);
    let event = damage(scene, Mailer, "inbox", "state = 'queued' AND lease IS NULL ORDER BY due_at").await;
    scene.system.mail.set(State::Up(Behavior::Accept, 1));
    let event = event?;
    let reason = format!("SELECT error FROM inbox WHERE event_id = '{event}' AND state = 'dead'");
    expect_set_aside(scene, Mailer, &reason, (counted, before)).await?;
    let letters = scene.system.dead_letters(Method::GET, "/dead-letters").await?;
    let is_listed = letters.as_array().is_some_and(|all| all.iter().any(|one| one["eventId"] == *event));
    run(scene, Mailer, &format!("UPDATE inbox SET {REPAIR} WHERE event_id = '{event}'")).await?;
    if is_listed {
        let replay = format!("/dead-letters/{event}/replay");
        scene.system.dead_letters(Method::POST, &replay).await?;
    } else {
        scene.system.bad_endings.push(format!("the damaged event {event} is no dead letter"));
    }
    Ok(())
}

/// Damages the first row that waits, and returns its event.
async fn damage(scene: &Scene<'_>, service: Component, table: &str, waits: &str) -> Result<String> {
    let damage = format!(
        "UPDATE {table} SET {DAMAGE} \
         WHERE event_id = (SELECT event_id FROM {table} WHERE {waits} LIMIT 1) RETURNING event_id"
    );
    let begun = Instant::now();
    loop {
        let event = run(scene, service, &damage).await?;
        if !event.is_empty() {
            return Ok(event);
        }
        anyhow::ensure!(begun.elapsed() < MAX_BACKLOG, "no row of the {table} waits");
        sleep(PAUSE).await;
    }
}

/// Notes a violation unless the row gets a reason and is counted.
async fn expect_set_aside(
    scene: &mut Scene<'_>,
    service: Component,
    reason: &str,
    (counted, before): (&str, u64),
) -> Result<()> {
    let begun = Instant::now();
    while run(scene, service, reason).await?.is_empty() && begun.elapsed() < MAX_SET_ASIDE {
        sleep(PAUSE).await;
    }
    let (reason, after) = (run(scene, service, reason).await?, scene.system.metric(service, counted).await?);
    if reason.is_empty() || after != before + 1 {
        let violation = format!("a damaged row of {service} has the reason `{reason}`; {counted} is {after}");
        scene.system.bad_endings.push(violation);
    }
    Ok(())
}
