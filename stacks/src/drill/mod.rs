//! Drills and incidents, for training.
//!
//! `stacks drill` causes an alert under a small load, waits for its delivery, repairs the cause and waits for the resolved
//! notice. The cause is repaired however the drill ends. `incident` holds `stacks incident` and `stacks answer`.

mod catalogue;
mod incident;
mod notices;
mod orders;
mod queries;
mod report;
mod scene;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use time::OffsetDateTime;

pub use self::{
    catalogue::Alert,
    incident::{IncidentArgs, answer, begin, current, place_orders},
};
use self::{
    catalogue::Trouble,
    notices::{Notice, Status, firing},
    report::Row,
    scene::Scene,
};
use crate::{
    local::{pace::Pace, state},
    output::show,
    progress::Progress,
    settings::Options,
    signals::Interruptions,
    style::Style,
};

/// Time between two queries of the alert log.
const PAUSE: Duration = Duration::from_millis(250);

/// The drills to run, and their pace.
#[derive(Clone, Debug, clap::Args)]
pub struct DrillArgs {
    /// The alert to cause; all of them if none is named
    #[arg(long, value_enum, value_name = "NAME")]
    pub alert: Option<Alert>,
    /// The pace of rules and routes; fast is for the local stack, and its default
    #[arg(long, value_enum)]
    pub pace: Option<Pace>,
}

/// Runs the drills and shows their times.
///
/// # Errors
/// When a notice does not arrive in time, or the stack cannot be broken or repaired.
pub async fn run(options: &Options, args: &DrillArgs) -> Result<ExitCode> {
    let mut interruptions = Interruptions::new()?;
    let _lock = state::lock(&options.lock_file())?;
    incident::refuse_during_incident(options)?;
    let scene = Scene::open(options).await?;
    scene.expect_alerts().await?;
    let pace = args.pace.unwrap_or_else(|| scene.fastest());
    if pace == Pace::Fast && scene.fastest() != Pace::Fast {
        bail!("cannot change the pace of a Docker stack; leave --pace out");
    }
    let alerts = args.alert.map_or_else(|| Alert::ALL.to_vec(), |alert| vec![alert]);
    for alert in &alerts {
        if let Trouble::Stopped(part) = alert.trouble() {
            scene.expect(part)?;
        }
    }
    let gateway = scene.gateway();
    let mut drill = Drill { scene, pace, broken: None, rows: Vec::new(), progress: Progress::for_terminal() };
    let ended = tokio::select! {
        ended = drill.all(&alerts) => ended.map(|()| ExitCode::SUCCESS),
        failed = orders::place_orders(&gateway) => failed.map(|never| match never {}),
        signal = interruptions.next() => {
            let code = ExitCode::from(128 + signal.as_raw() as u8);
            drill.progress.failed();
            drill.progress.note("interrupted; repairing the cause");
            Ok(code)
        }
    };
    drill.progress.failed();
    let repaired = drill.leave().await;
    show(&report::table(&drill.rows, Style::for_stdout()))?;
    let code = ended?;
    repaired.map(|()| code)
}

struct Drill {
    scene: Scene,
    pace: Pace,
    /// The alert whose cause is to be repaired.
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
        self.progress.begin("wait for quiet");
        self.until(&format!("{alert} still fires from before"), |log| {
            firing(log, alert).is_empty().then_some(())
        })
        .await?;
        self.progress.done("does not fire");

        self.progress.begin("break");
        let broken_at = OffsetDateTime::now_utc();
        self.broken = Some(alert);
        self.scene.cause(alert.trouble()).await?;
        self.progress.done(&alert.trouble().to_string());

        self.progress.begin("wait for alert");
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

        self.progress.begin("repair");
        let repaired_at = OffsetDateTime::now_utc();
        self.repair().await?;
        self.progress.done("as before");

        self.progress.begin("wait for end");
        let is_resolved = |notice: &&Notice| {
            notice.status == Status::Resolved
                && notice.fingerprint == fired.fingerprint
                && notice.received_at >= fired.received_at
        };
        let resolved = self
            .until(&format!("no notice that {alert} is resolved"), |log| {
                log.iter().find(is_resolved).cloned()
            })
            .await?;
        self.progress.done("resolved, in the alert log");
        Ok(Row {
            alert,
            delivered: (fired.received_at - broken_at).unsigned_abs(),
            resolved: (resolved.received_at - repaired_at).unsigned_abs(),
        })
    }

    /// Waits until the alert log has what `find` looks for; `otherwise` is the error without it.
    async fn until<T>(&mut self, otherwise: &str, find: impl Fn(&[Notice]) -> Option<T>) -> Result<T> {
        let limit = match self.pace {
            Pace::Fast => Duration::from_secs(150),
            // The longest window of the rules is 10 minutes, and it must pass twice.
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
                    "{otherwise} after {} s; see the pages of Prometheus and Alertmanager",
                    limit.as_secs()
                );
            }
            self.progress.waiting(otherwise.to_owned());
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn repair(&mut self) -> Result<()> {
        if let Some(alert) = self.broken {
            self.scene.repair(alert.trouble()).await.with_context(|| {
                format!("cannot repair the cause of {alert}: {}; run `make down && make up`", alert.cause())
            })?;
            self.broken = None;
        }
        Ok(())
    }

    /// Repairs the cause, and restores the pace.
    async fn leave(&mut self) -> Result<()> {
        let repaired = self.repair().await;
        repaired.and(self.scene.set_pace(Pace::Shipped).await)
    }
}
