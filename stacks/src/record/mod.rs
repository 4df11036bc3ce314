//! `stacks record`: asks the servers of the stack that runs everything that a client asks, keeps the answers for the tests
//! of the clients, and says in what they differ from those of before.

mod cases;
mod recording;
mod servers;
mod shape;

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::time::{Instant, sleep};

pub use self::recording::{Recording, table};
use self::{
    cases::{Facts, cases},
    servers::{Target, targets},
};
use crate::{
    backends::whole_trace,
    compose::plan,
    orders::Client,
    output::show,
    progress::Progress,
    settings::Options,
    stack::{Backends, Places, Stack},
};

/// Where the recordings are, from the root of a checkout.
const RECORDED: &str = "stacks/tests/recorded";
const PAUSE: Duration = Duration::from_millis(500);

/// What to record.
#[derive(Clone, Debug, clap::Args)]
pub struct RecordArgs {
    /// The stack, where several run
    #[arg(long, value_name = "STACK")]
    pub stack: Option<Stack>,
    /// A server that is a stand-in here: its answers show nothing about the real one
    #[arg(long, value_name = "SERVER")]
    pub stand_in: Vec<String>,
    /// The directory of the recordings
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// Seconds in which the telemetry of an order must arrive
    #[arg(long, default_value_t = 60)]
    pub within: u64,
}

/// Places an order, records what its servers answer about it, and shows what has changed.
///
/// # Errors
/// When the telemetry of the order does not arrive, or a server does not answer.
pub async fn run(options: &Options, args: &RecordArgs) -> Result<()> {
    let mut progress = Progress::for_terminal();
    let recorded = record(options, args, &mut progress).await;
    let changes = recorded.inspect_err(|_| progress.failed())?;
    show(&changes)
}

async fn record(options: &Options, args: &RecordArgs, progress: &mut Progress) -> Result<String> {
    let backends = Backends::find(options, args.stack).await?;
    let targets = targets(backends.stack, &Places::open(options)?, options)?;
    let unknown = args.stand_in.iter().find(|name| targets.iter().all(|target| target.name != **name));
    if let Some(unknown) = unknown {
        let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
        bail!("cannot record {unknown}: {} has {}", backends.stack.facts().title, names.join(", "));
    }

    progress.begin("place an order");
    let order = Client::new(&backends.gateway, "record")?.place_sample().await?;
    let within = Duration::from_secs(args.within);
    let trace = whole_trace(&*backends.traces, &order.trace_id, within, |_| {}).await?;
    if !trace.missing().is_empty() {
        bail!("cannot record: the trace {} is not whole after {} s", order.trace_id, args.within);
    }
    let facts = Facts { trace: order.trace_id.clone(), order: order.order_id.clone() };
    wait_for_the_rest(&backends, &facts, within).await?;
    progress.done(&format!("trace {}", facts.trace));

    let directory = match &args.into {
        Some(directory) => directory.clone(),
        None => plan::root(&options.dir)?.join(RECORDED),
    };
    let before = Recording::all(&directory)?;
    let mut changes = String::new();
    for target in &targets {
        progress.begin(&format!("ask {}", target.name));
        let is_real = !args.stand_in.iter().any(|name| name == target.name);
        let new = ask(target, &facts, is_real).await?;
        let old = Recording::nearest(&before, &new);
        changes += &shape::changes(old, &new);
        new.write(&directory)?;
        progress.done(&format!("{}: {} answers", new.folder(), new.answers.len()));
    }
    let readme = directory.join("README.md");
    let text = fs::read_to_string(&readme).unwrap_or_default();
    let text = recording::with_table(&text, &table(&Recording::all(&directory)?));
    fs::write(&readme, text).with_context(|| format!("cannot write {}", readme.display()))?;
    Ok(changes)
}

/// Waits for log lines of the order, its e-mail, and its exemplar.
async fn wait_for_the_rest(backends: &Backends, facts: &Facts, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    loop {
        let lines = backends.logs.lines(&[&facts.trace]).await?.len();
        let emails = backends.inbox.emails(&facts.order).await?;
        let exemplars = backends.metrics.exemplars(&cases::HISTOGRAM).await?;
        if lines > 0 && emails > 0 && !exemplars.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "cannot record: after {} s there are {lines} log lines, {emails} e-mails and {} exemplars",
                within.as_secs(),
                exemplars.len()
            );
        }
        sleep(PAUSE).await;
    }
}

async fn ask(target: &Target, facts: &Facts, is_real: bool) -> Result<Recording> {
    let mut answers = BTreeMap::new();
    for (name, asked) in cases(target.api, facts) {
        let response = target.asker.ask(&asked).await?;
        let status = response.status().as_u16();
        let body = response.bytes().await.with_context(|| format!("cannot read the answer to {name}"))?;
        answers.insert(name, recording::Answer { status, body: body.to_vec() });
    }
    Ok(Recording {
        server: target.name.to_owned(),
        version: target.version().await?,
        is_real,
        trace: facts.trace.clone(),
        order: facts.order.clone(),
        answers,
    })
}
