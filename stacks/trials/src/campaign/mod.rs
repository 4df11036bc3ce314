//! `trials campaign`: hours of random faults under a steady load, judged round by round, with the growth of each service
//! between the faults.
//!
//! ```text
//!  Draw ──► Rounds (load, fault, recovery) ──► History ──► checker ──► Tally ──► Report
//!               └── at rest ──► Growth ──► Slope ─────────────────────────────────┘
//! ```

mod args;
mod draw;
mod growth;
mod late;
mod report;
mod tally;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use stacks::{output::show, progress::Progress, settings::Options, style::Style};

pub use self::args::CampaignArgs;
use self::{draw::Draw, growth::Growth, late::Late, report::Report, tally::Tally};
use crate::{
    directory::Directory,
    faults::{
        catalogue::Named,
        checker,
        history::History,
        load::Pace,
        peaks,
        report::Row,
        rounds::{Conditions, Rounds, recovered},
        system::System,
    },
    report::write,
    seed,
};

/// With so many, the rate holds while an answer takes a fifth of a second.
const CLIENTS: usize = 64;
/// Milliseconds of load before each fault, and after it.
const PAUSE: std::ops::Range<u64> = 1_000..5_000;
/// How long the system may take to finish what it has accepted: a broker that restarts on a busy machine takes two
/// minutes, and the events of that time wait for it.
const MAX_WAIT: Duration = Duration::from_secs(300);

struct Campaign {
    rounds: Rounds,
    draw: Draw,
    begun: Instant,
    /// The round that is not judged yet.
    open: Option<(Named, History)>,
    tally: Tally,
    late: Late,
    growth: Growth,
}

/// Runs a campaign; true if nothing was wrong.
///
/// # Errors
/// When the system cannot be started. One that fails later is a violation.
pub async fn run(options: &Options, args: &CampaignArgs) -> Result<bool> {
    ensure!(args.hours > 0.0 && args.hours <= 1000.0, "cannot run for {} hours", args.hours);
    ensure!(args.rate >= 1.0 && args.rate <= 100_000.0, "cannot place {} orders/s", args.rate);
    let length = Duration::from_secs_f64(args.hours * 3600.0);
    let mut progress = Progress::for_terminal();
    let seed = seed::choose(args.seed, &mut progress);
    let dir = Directory::new("campaign")?;
    progress.begin("system");
    let system = System::start(dir.path(), options.binaries.clone(), &options.env).await?;
    progress.done("three services, RabbitMQ, a mail server");
    let pace = Pace { clients: CLIENTS, rate: args.rate };
    let conditions = Conditions { pace, pause: PAUSE, orders: 0, patience: MAX_WAIT };
    let mut campaign = Campaign {
        rounds: Rounds::new(system, seed, conditions),
        draw: Draw::new(seed, length),
        begun: Instant::now(),
        open: None,
        tally: Tally::default(),
        late: Late::default(),
        growth: Growth::default(),
    };
    if let Err(error) = campaign.run(length, &mut progress).await {
        progress.failed();
        campaign.tally.note(format!("K14: the campaign ended early: {error:#}"));
    }
    let Campaign { begun, tally, growth, .. } = campaign;
    let report = Report::new(args, seed, begun.elapsed(), tally, &growth);
    show(&report.table(Style::for_stdout()))?;
    write(&report, &args.report)?;
    match report.is_good() {
        true => dir.remove()?,
        false => progress.note(&format!("the files of the services stay in {}", dir.path().display())),
    }
    Ok(report.is_good())
}

impl Campaign {
    async fn run(&mut self, length: Duration, progress: &mut Progress) -> Result<()> {
        while self.begun.elapsed() < length {
            let named = self.draw.next(self.begun.elapsed());
            progress.begin(named.0);
            self.round(named).await?;
            progress.done(&self.tally.brief(self.begun.elapsed()));
        }
        progress.begin("the last orders");
        if let Some((_, history)) = &mut self.open {
            self.rounds.ask_orders(history).await?;
        }
        self.judge();
        self.tally.late(self.late.judge(self.rounds.late_emails()));
        progress.done(&self.tally.brief(self.begun.elapsed()));
        Ok(())
    }

    async fn round(&mut self, named: Named) -> Result<()> {
        let previous = self.open.as_mut().map(|(_, history)| history);
        let (history, inflicted) = self.rounds.observe(named, previous).await?;
        self.growth.add(self.begun.elapsed(), peaks::current());
        if let Err(error) = inflicted {
            self.tally.note(format!("K14: {error:#}"));
        }
        self.judge();
        self.late.learn(&history);
        self.tally.late(self.late.judge(self.rounds.late_emails()));
        self.open = Some((named, history));
        Ok(())
    }

    /// Judges the open round, and drops its history.
    fn judge(&mut self) {
        if let Some(((name, _), history)) = self.open.take() {
            let verdict = checker::check(&history);
            self.tally.add(Row::new(name, &verdict, recovered(&history)).with(&history));
        }
    }
}
