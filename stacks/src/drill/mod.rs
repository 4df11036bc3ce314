//! Trouble on purpose, for training. `stacks drill` breaks something on purpose, under a small load, and shows that the alert about it arrives, and that
//! it is resolved once the cause is mended. Whatever happens, what was broken is mended.

mod catalogue;
mod docker;
mod incident;
mod load;
mod notices;
mod queries;
mod report;
mod scene;

use std::{
    io::{Write as _, stdout},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use time::OffsetDateTime;

pub use self::{
    catalogue::Alert,
    incident::{IncidentWanted, answer, begin, place_orders},
};
use self::{
    catalogue::Trouble,
    notices::{Notice, Status, firing},
    report::Row,
    scene::Scene,
};
use crate::{
    local::{Options, pace::Pace, state},
    progress::Progress,
    signals::Interruptions,
    style::Style,
};

/// How often the alert log is asked.
const PERIOD: Duration = Duration::from_millis(250);

/// Which drills to run, and how fast.
#[derive(Clone, Debug, clap::Args)]
pub struct DrillWanted {
    /// The alert to bring about; all of them if none is named
    #[arg(long, value_enum, value_name = "NAME")]
    pub alert: Option<Alert>,
    /// How fast rules and routes are; fast is for the local stack, and what it does by default
    #[arg(long, value_enum)]
    pub pace: Option<Pace>,
}

/// Runs the drills and shows their times.
pub async fn run(options: &Options, wanted: &DrillWanted) -> Result<ExitCode> {
    let mut interruptions = Interruptions::new()?;
    let _lock = state::lock(&options.dir.join("var/local.lock"))?;
    incident::refuse_during_incident(options)?;
    let scene = Scene::open(options)?;
    scene.expect_alerts().await?;
    let pace = wanted.pace.unwrap_or_else(|| scene.fastest());
    if pace == Pace::Fast && scene.fastest() != Pace::Fast {
        bail!("the stacks in Docker judge at the shipped pace: leave --pace out");
    }
    let alerts = wanted.alert.map_or_else(|| Alert::ALL.to_vec(), |alert| vec![alert]);
    for alert in &alerts {
        if let Trouble::Stopped(part) = alert.trouble() {
            scene.expect(part)?;
        }
    }
    let gateway = scene.gateway();
    let mut drill = Drill { scene, pace, broken: None, rows: Vec::new(), progress: Progress::for_terminal() };
    let ended = tokio::select! {
        ended = drill.all(&alerts) => ended.map(|()| ExitCode::SUCCESS),
        failed = load::orders(&gateway) => failed.map(|never| match never {}),
        signal = interruptions.next() => {
            let code = ExitCode::from(128 + signal.as_raw() as u8);
            drill.progress.failed();
            drill.progress.note("interrupted");
            Ok(code)
        }
    };
    drill.progress.failed();
    let mended = drill.leave().await;
    let table = report::table(&drill.rows, Style::for_stdout());
    stdout().lock().write_all(table.as_bytes()).context("cannot write to standard output")?;
    let code = ended?;
    mended.map(|()| code)
}

struct Drill {
    scene: Scene,
    pace: Pace,
    /// What is to be mended.
    broken: Option<Alert>,
    rows: Vec<Row>,
    progress: Progress,
}

impl Drill {
    async fn all(&mut self, alerts: &[Alert]) -> Result<()> {
        self.scene.set_pace(self.pace).await?;
        for alert in alerts {
            let row = self.one(*alert).await.with_context(|| format!("the drill {alert}"))?;
            self.rows.push(row);
        }
        Ok(())
    }

    async fn one(&mut self, alert: Alert) -> Result<Row> {
        self.progress.note(&format!("{alert}: {}", alert.cause()));
        self.progress.begin("quiet");
        self.until(&format!("{alert} still fires from before"), |log| {
            firing(log, alert).is_empty().then_some(())
        })
        .await?;
        self.progress.done("it does not fire");

        self.progress.begin("break");
        let broken_at = OffsetDateTime::now_utc();
        self.broken = Some(alert);
        self.scene.cause(alert.trouble()).await?;
        self.progress.done(&alert.trouble().to_string());

        self.progress.begin("delivered");
        let fired = self
            .until(&format!("no notice of {alert} about {}", alert.service()), |log| {
                firing(log, alert).into_iter().find(|notice| notice.received_at >= broken_at).cloned()
            })
            .await?;
        self.progress.done(fired.annotation("summary"));
        self.progress.note(&format!(
            "  {}\n  {}",
            fired.annotation("description"),
            fired.annotation("runbook_url")
        ));

        self.progress.begin("mend");
        let mended_at = OffsetDateTime::now_utc();
        self.mend().await?;
        self.progress.done("as it was");

        self.progress.begin("resolved");
        let is_resolved = |notice: &&Notice| {
            notice.status == Status::Resolved
                && notice.fingerprint == fired.fingerprint
                && notice.received_at >= fired.received_at
        };
        let resolved = self
            .until(&format!("no word that {alert} is resolved"), |log| log.iter().find(is_resolved).cloned())
            .await?;
        self.progress.done("and the alert log says so");
        Ok(Row {
            alert,
            delivered: (fired.received_at - broken_at).unsigned_abs(),
            resolved: (resolved.received_at - mended_at).unsigned_abs(),
        })
    }

    /// Waits for something in the alert log; `otherwise` is what there was instead.
    async fn until<T>(&mut self, otherwise: &str, find: impl Fn(&[Notice]) -> Option<T>) -> Result<T> {
        let limit = match self.pace {
            Pace::Fast => Duration::from_secs(150),
            // The longest window of the rules is 10 minutes, and it has to pass twice.
            Pace::Shipped => Duration::from_secs(25 * 60),
        };
        let deadline = Instant::now() + limit;
        loop {
            let log = self.scene.notices().await;
            if let Some(found) = log.as_ref().ok().and_then(|log| find(log)) {
                return Ok(found);
            }
            if Instant::now() > deadline {
                log?;
                bail!(
                    "{otherwise} after {} s; Alertmanager and Prometheus say what they know",
                    limit.as_secs()
                );
            }
            self.progress.waiting(otherwise.to_owned());
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn mend(&mut self) -> Result<()> {
        if let Some(alert) = self.broken {
            self.scene.mend(alert.trouble()).await.with_context(|| {
                format!("{} and could not be mended: `make down && make up` does it", alert.cause())
            })?;
            self.broken = None;
        }
        Ok(())
    }

    /// Leaves the stack as it was found.
    async fn leave(&mut self) -> Result<()> {
        let mended = self.mend().await;
        mended.and(self.scene.set_pace(Pace::Shipped).await)
    }
}
