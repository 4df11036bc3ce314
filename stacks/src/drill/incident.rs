//! `stacks incident` breaks something at random; `stacks answer` names it with the query that shows it, and repairs it. In
//! between, `var/incident.json` remembers the incident, and a background process places orders.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    catalogue::{Alert, Trouble},
    orders, queries,
    scene::Scene,
};
use crate::{
    http,
    local::{pace::Pace, state},
    output::show,
    process::{Process, append, spawn_detached},
    progress::Progress,
    settings::Options,
    stack::Language,
    style::uptime,
};

/// The time after which the orders end without an answer.
const MAX_INCIDENT: Duration = Duration::from_secs(60 * 60);
/// The time after which the orders end without a gateway.
const MAX_ALONE: Duration = Duration::from_secs(30);
/// The time in which the process that places the orders must end.
const MAX_STOP: Duration = Duration::from_secs(5);

/// The choice of the incident.
#[derive(Clone, Debug, clap::Args)]
pub struct IncidentArgs {
    /// Seed of the random choice: the same seed, the same incident
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// An incident, as it is remembered.
#[derive(Debug, Serialize, Deserialize)]
struct Incident {
    alert: Alert,
    seed: u64,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    orders: Process,
}

/// Starts an incident.
///
/// # Errors
/// When there is one already, or nothing can be broken.
pub async fn begin(options: &Options, args: &IncidentArgs) -> Result<()> {
    let _lock = state::lock(&options.lock_file())?;
    refuse_during_incident(options)?;
    let file = file(options);
    let mut scene = Scene::open(options).await?;
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..10_000));
    let alert = draw(&scene, seed)?;
    let mut progress = Progress::for_terminal();
    progress.begin("start incident");
    scene.set_pace(scene.fastest()).await?;
    let incident =
        Incident { alert, seed, since: OffsetDateTime::now_utc(), orders: spawn_orders(options, &scene)? };
    write(&file, &incident)?;
    if let Err(error) = scene.cause(alert.trouble()).await {
        progress.failed();
        end(&mut scene, &incident, &file).await?;
        return Err(error);
    }
    progress.done(&format!("seed {seed}"));
    show(&format!(
        "\nSomething is broken, and orders are being placed. What is it, and since when?\n\
         {}`make answer` names it and repairs it\n",
        scene.pages()
    ))
}

/// Refuses a second trouble: two would hide each other.
pub(super) fn refuse_during_incident(options: &Options) -> Result<()> {
    match read(&file(options))? {
        Some(_) => bail!("cannot break anything: there is an incident; `make answer` ends it"),
        None => Ok(()),
    }
}

/// The incident that there is, and since when.
///
/// # Errors
/// When its file cannot be read.
pub fn current(options: &Options) -> Result<Option<(Alert, OffsetDateTime)>> {
    Ok(read(&file(options))?.map(|incident| (incident.alert, incident.since)))
}

/// Names the incident, and ends it.
///
/// # Errors
/// When there is none, or it cannot be repaired.
pub async fn answer(options: &Options) -> Result<()> {
    let _lock = state::lock(&options.lock_file())?;
    let file = file(options);
    let incident = read(&file)?.context("there is no incident; `make incident` starts one")?;
    let lasted = OffsetDateTime::now_utc() - incident.since;
    show(&format!(
        "{}, for {} now ({}; alert {}, seed {})\n\n",
        incident.alert.cause(),
        uptime(lasted.unsigned_abs()),
        incident.alert.trouble(),
        incident.alert,
        incident.seed,
    ))?;
    let mut scene = match Scene::open(options).await {
        Ok(scene) => scene,
        // Without a stack there is nothing to repair.
        Err(error) => {
            incident.orders.stop(MAX_STOP);
            remove(&file)?;
            return Err(error);
        }
    };
    for query in queries::decisive(incident.alert, scene.stack()) {
        show(&format!("  {:8} {}\n", query.language_name(), query.text))?;
        if query.language == Language::PromQl {
            for sample in scene.ask_prometheus(query.text).await? {
                show(&format!("  {:8} {sample}\n", ""))?;
            }
        }
    }
    show("\n")?;
    let mut progress = Progress::for_terminal();
    progress.begin("repair");
    end(&mut scene, &incident, &file).await?;
    progress.done("as before");
    Ok(())
}

/// Places orders until the incident is over, in a process of its own.
///
/// # Errors
/// When no HTTP client can be made.
pub async fn place_orders(gateway: &str) -> Result<()> {
    let client = http::client()?;
    let url = format!("{gateway}/livez");
    let alone = async {
        let mut seen = Instant::now();
        while seen.elapsed() < MAX_ALONE {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if http::probe(&client, &url).await.is_ok() {
                seen = Instant::now();
            }
        }
    };
    tokio::select! {
        failed = orders::place_orders(gateway) => failed.map(|never| match never {}),
        () = alone => Ok(()),
        () = tokio::time::sleep(MAX_INCIDENT) => Ok(()),
    }
}

fn draw(scene: &Scene, seed: u64) -> Result<Alert> {
    let is_possible = |alert: &Alert| match alert.trouble() {
        Trouble::Stopped(part) => scene.expect(part).is_ok(),
        Trouble::Simulated(..) => true,
    };
    let possible: Vec<Alert> = Alert::ALL.into_iter().filter(is_possible).collect();
    fastrand::Rng::with_seed(seed).choice(possible).context("cannot break anything in this stack")
}

fn spawn_orders(options: &Options, scene: &Scene) -> Result<Process> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let (log, _) = append(&options.dir.join("logs/incident.err"))?;
    let mut command = Command::new(program);
    command.args(["incident-orders", "--gateway", &scene.gateway()]);
    let child = spawn_detached(&mut command, Stdio::null(), log).context("cannot start placing orders")?;
    Process::of(child.id())
}

async fn end(scene: &mut Scene, incident: &Incident, file: &Path) -> Result<()> {
    incident.orders.stop(MAX_STOP);
    scene.repair(incident.alert.trouble()).await?;
    scene.set_pace(Pace::Shipped).await?;
    remove(file)
}

fn file(options: &Options) -> PathBuf {
    options.dir.join("var/incident.json")
}

fn read(file: &Path) -> Result<Option<Incident>> {
    let text = match fs::read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", file.display()))?,
    };
    let hint = || {
        format!("cannot read {}: not an incident; remove it, and run `make down && make up`", file.display())
    };
    serde_json::from_slice(&text).map(Some).with_context(hint)
}

fn write(file: &Path, incident: &Incident) -> Result<()> {
    let text = serde_json::to_vec_pretty(incident).context("cannot write the incident as JSON")?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn remove(file: &Path) -> Result<()> {
    fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))
}
