//! `stacks incident` breaks something and does not say what; `stacks answer` tells, with the query that shows it, and
//! mends it. In between, `var/incident.json` remembers, and a process of ours places orders.

use std::{
    fs,
    io::{ErrorKind, Write as _, stdout},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    catalogue::{Alert, Trouble},
    load, queries,
    scene::Scene,
};
use crate::{
    http,
    local::{Options, pace::Pace, state},
    process::{Process, append, spawn_detached},
    progress::Progress,
    style::uptime,
};

/// How long the orders go on when nobody asks for the answer.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// How long they go on while there is no gateway.
const ALONE: Duration = Duration::from_secs(30);
/// How long their process may take to end.
const STOP: Duration = Duration::from_secs(5);

/// Which incident.
#[derive(Clone, Debug, clap::Args)]
pub struct IncidentWanted {
    /// The same seed, the same incident; any if there is none
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// What goes on, for the one who knows.
#[derive(Debug, Serialize, Deserialize)]
struct Incident {
    alert: Alert,
    seed: u64,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    orders: Process,
}

/// Starts an incident.
pub async fn begin(options: &Options, wanted: &IncidentWanted) -> Result<()> {
    let _lock = state::lock(&options.dir.join("var/local.lock"))?;
    refuse_during_incident(options)?;
    let file = file(options);
    let mut scene = Scene::open(options)?;
    let seed = wanted.seed.unwrap_or_else(|| fastrand::u64(..10_000));
    let alert = draw(&scene, seed)?;
    let mut progress = Progress::for_terminal();
    progress.begin("incident");
    scene.set_pace(scene.fastest()).await?;
    let incident =
        Incident { alert, seed, since: OffsetDateTime::now_utc(), orders: orders(options, &scene)? };
    write(&file, &incident)?;
    if let Err(error) = scene.cause(alert.trouble()).await {
        progress.failed();
        end(&mut scene, &incident, &file).await?;
        return Err(error);
    }
    progress.done(&format!("seed {seed}"));
    show(&format!(
        "\nSomething is wrong now, and orders are being placed. What is it, and since when?\n\
         {}`make answer` tells, and mends it.\n",
        scene.places()
    ))
}

/// Two troubles at once would hide each other.
pub(super) fn refuse_during_incident(options: &Options) -> Result<()> {
    match read(&file(options))? {
        Some(_) => bail!("there is an incident: `make answer` tells what it is, and ends it"),
        None => Ok(()),
    }
}

/// Tells what the incident is, and ends it.
pub async fn answer(options: &Options) -> Result<()> {
    let _lock = state::lock(&options.dir.join("var/local.lock"))?;
    let file = file(options);
    let incident = read(&file)?.context("there is no incident: `make incident` starts one")?;
    let lasted = OffsetDateTime::now_utc() - incident.since;
    show(&format!(
        "{}, for {} now ({}; the alert is {}, the seed {})\n\n",
        incident.alert.cause(),
        uptime(lasted.unsigned_abs()),
        incident.alert.trouble(),
        incident.alert,
        incident.seed,
    ))?;
    let mut scene = match Scene::open(options) {
        Ok(scene) => scene,
        // What does not run is not broken.
        Err(error) => {
            incident.orders.stop(STOP);
            remove(&file)?;
            return Err(error);
        }
    };
    for query in queries::decisive(incident.alert, scene.kind()) {
        show(&format!("  {:8} {}\n", query.language, query.text))?;
        if query.is_promql() {
            for sample in scene.ask_prometheus(query.text).await? {
                show(&format!("  {:8} {sample}\n", ""))?;
            }
        }
    }
    show("\n")?;
    let mut progress = Progress::for_terminal();
    progress.begin("mend");
    end(&mut scene, &incident, &file).await?;
    progress.done("as it was");
    Ok(())
}

/// Places orders until the incident is over: the process behind it.
pub async fn place_orders(gateway: &str) -> Result<()> {
    let client = http::client()?;
    let url = format!("{gateway}/livez");
    let alone = async {
        let mut seen = Instant::now();
        while seen.elapsed() < ALONE {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if http::probe(&client, &url).await.is_ok() {
                seen = Instant::now();
            }
        }
    };
    tokio::select! {
        failed = load::orders(gateway) => failed.map(|never| match never {}),
        () = alone => Ok(()),
        () = tokio::time::sleep(LONGEST) => Ok(()),
    }
}

fn draw(scene: &Scene, seed: u64) -> Result<Alert> {
    let is_possible = |alert: &Alert| match alert.trouble() {
        Trouble::Stopped(part) => scene.expect(part).is_ok(),
        Trouble::Simulated(..) => true,
    };
    let possible: Vec<Alert> = Alert::ALL.into_iter().filter(is_possible).collect();
    fastrand::Rng::with_seed(seed).choice(possible).context("nothing here can be broken")
}

fn orders(options: &Options, scene: &Scene) -> Result<Process> {
    let program = std::env::current_exe().context("cannot find out where this program lies")?;
    let (log, _) = append(&options.dir.join("logs/incident.err"))?;
    let mut command = Command::new(program);
    command.args(["incident-orders", "--gateway", &scene.gateway()]);
    let child = spawn_detached(&mut command, Stdio::null(), log).context("cannot start the orders")?;
    Process::of(child.id())
}

async fn end(scene: &mut Scene, incident: &Incident, file: &Path) -> Result<()> {
    incident.orders.stop(STOP);
    scene.mend(incident.alert.trouble()).await?;
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
    let hint =
        || format!("{} is damaged: remove it, and `make down && make up` mends the rest", file.display());
    serde_json::from_slice(&text).map(Some).with_context(hint)
}

fn write(file: &Path, incident: &Incident) -> Result<()> {
    let text = serde_json::to_vec_pretty(incident).context("cannot write down the incident")?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn remove(file: &Path) -> Result<()> {
    fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))
}

fn show(text: &str) -> Result<()> {
    stdout().lock().write_all(text.as_bytes()).context("cannot write to standard output")
}
