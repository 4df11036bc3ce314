//! Drills and incidents, each the command of that name: it repairs the cause however it ends.

use std::{
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use axum::{Json, Router, extract::State, routing::post};
use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::sleep,
};

use super::{super::shared::Shared, failure::Failure};
use crate::{
    drill::{self, Alert},
    process::{Process, Signal},
};

/// Lines of a drill that are kept.
const MAX_LINES: usize = 100;
/// Between two looks at the incident.
const PERIOD: Duration = Duration::from_secs(2);

/// The process of the drill that runs, if one does.
#[derive(Default)]
struct Drills(Mutex<Option<Process>>);

#[derive(Deserialize)]
struct Wanted {
    alert: String,
}

/// A drill and its clock. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Clock {
    alert: String,
    began: u64,
    ended: Option<u64>,
    is_well: Option<bool>,
    /// When each line was written, and its text: a stage that has ended.
    lines: Vec<(u64, String)>,
}

type Drilled = State<(Arc<Shared>, Arc<Drills>)>;

/// The routes of drills and incidents.
pub(super) fn routes(shared: &Arc<Shared>) -> Router {
    tokio::spawn(follow_incident(shared.clone()));
    Router::new()
        .route("/api/drill", post(begin).delete(end))
        .route("/api/incident", post(begin_incident))
        .route("/api/incident/answer", post(answer))
        .with_state((shared.clone(), Arc::<Drills>::default()))
}

/// Begins the drill of an alert.
async fn begin(
    State((shared, drills)): Drilled,
    Json(Wanted { alert }): Json<Wanted>,
) -> Result<(), Failure> {
    let alert =
        Alert::from_str(&alert, false).map_err(|_| Failure::bad("there is no drill of this alert"))?;
    let mut running = drills.0.lock().unwrap_or_else(PoisonError::into_inner);
    if running.is_some_and(|process| process.is_alive()) {
        return Err(Failure::busy("a drill is under way"));
    }
    let child = command(&shared, &["drill", "--alert", &alert.to_string()]).spawn();
    let child = child.context("cannot start the drill")?;
    *running = Some(Process::of(child.id().context("the drill has ended at once")?)?);
    tokio::spawn(follow(shared.clone(), child, alert));
    Ok(())
}

async fn follow(shared: Arc<Shared>, mut child: Child, alert: Alert) {
    let mut clock =
        Clock { alert: alert.to_string(), began: now(), ended: None, is_well: None, lines: Vec::new() };
    shared.hub.set("drill", &clock);
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if !line.trim().is_empty() && clock.lines.len() < MAX_LINES {
                clock.lines.push((now(), line));
                shared.hub.set("drill", &clock);
            }
        }
    }
    let status = child.wait().await;
    (clock.ended, clock.is_well) = (Some(now()), Some(status.is_ok_and(|status| status.success())));
    shared.hub.set("drill", &clock);
}

/// Ends the drill: it repairs the cause first.
async fn end(State((_, drills)): Drilled) {
    if let Some(process) = *drills.0.lock().unwrap_or_else(PoisonError::into_inner) {
        process.signal(Signal::TERM);
    }
}

/// Breaks something without naming it.
async fn begin_incident(State((shared, _)): Drilled) -> Result<(), Failure> {
    output(&shared, &["incident"]).await?;
    show_incident(&shared);
    Ok(())
}

/// Compares a guess with the cause of the incident, and ends the incident if it is right or given up.
async fn answer(
    State((shared, _)): Drilled,
    Json(guess): Json<Option<Wanted>>,
) -> Result<Json<Value>, Failure> {
    let current = drill::current(&shared.options)?;
    let (alert, since) = current.ok_or_else(|| Failure::bad("there is no incident"))?;
    let is_right = guess.as_ref().is_some_and(|guess| guess.alert == alert.to_string());
    if guess.is_some() && !is_right {
        return Ok(Json(json!({"isRight": false})));
    }
    let seconds = (time::OffsetDateTime::now_utc() - since).whole_seconds();
    let text = output(&shared, &["answer"]).await?;
    show_incident(&shared);
    Ok(Json(
        json!({"isRight": is_right, "alert": alert.to_string(), "cause": alert.cause(), "seconds": seconds, "text": text}),
    ))
}

/// Shows an incident that was begun or answered by a command, too.
async fn follow_incident(shared: Arc<Shared>) {
    loop {
        show_incident(&shared);
        sleep(PERIOD).await;
    }
}

/// Shows whether there is an incident, and since when.
fn show_incident(shared: &Shared) {
    let since = drill::current(&shared.options).ok().flatten().map(|(_, since)| since);
    let since = since.map(|since| (since.unix_timestamp_nanos() / 1_000_000) as i64);
    shared.hub.set("incident", &json!({"since": since}));
}

async fn output(shared: &Shared, arguments: &[&str]) -> Result<String> {
    let output = command(shared, arguments).stdout(Stdio::piped()).output().await?;
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}", errors.trim().trim_start_matches("stacks: "));
    Ok(said.trim().to_owned())
}

/// A command of this program, on the same stack.
fn command(shared: &Shared, arguments: &[&str]) -> Command {
    // By its path: a build may have replaced the file of this process.
    let mut command = Command::new(shared.options.binaries.join("stacks"));
    command.arg("--dir").arg(&shared.options.dir).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // Its own group: it ends by itself, after it has repaired what it broke.
    command.process_group(0);
    command
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
