//! What each subcommand says. Results go to standard output, progress to standard error.

mod up;

use std::{
    io::{IsTerminal as _, Write as _, stdout},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

pub use self::up::{order, up};
use crate::{
    backends::{Traces as _, jaeger::Jaeger},
    compose, http,
    local::{Health, Options, Stack},
    logs::{self, Filter, Follow, Line},
    order,
    progress::Progress,
    style::{Style, uptime},
};

/// How many lines `logs` shows when none are asked for by id.
const LINES: usize = 100;

/// How long a trace that was just begun is given to become whole.
const ARRIVAL: Duration = Duration::from_secs(2);

/// What to stop, and whether its data goes with it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DownWanted {
    /// Only this Docker stack [default: whatever runs]
    #[arg(long, value_enum)]
    pub stack: Option<compose::Kind>,
    /// Remove the volumes of the Docker stacks, too: their data is gone then
    #[arg(long, conflicts_with = "stack")]
    pub volumes: bool,
}

/// Stops everything that was started in this directory, or one Docker stack.
pub async fn down(options: &Options, wanted: &DownWanted) -> Result<()> {
    let mut progress = Progress::for_terminal();
    let result = stop(options, wanted, &mut progress).await;
    progress.failed();
    result
}

async fn stop(options: &Options, wanted: &DownWanted, progress: &mut Progress) -> Result<()> {
    if let Some(kind) = wanted.stack {
        return compose::down(options, kind, progress).await;
    }
    let local = Stack::open(options)?.down(progress)? > 0;
    let docker = compose::down_all(options, wanted.volumes, progress).await?;
    progress.note(match (local, docker) {
        (false, false) => "nothing is running",
        (true, _) => "everything is stopped; data stays in var/, logs in logs/",
        (false, true) => "everything is stopped",
    });
    Ok(())
}

/// What there is to say when `up` was interrupted: whether the stack was up already by then.
pub fn after_interruption(options: &Options) -> &'static str {
    let runs = |stack: Stack| stack.layout().components().any(|component| stack.process(component).is_some());
    if Stack::open(options).is_ok_and(runs) {
        "the stack runs, `make down` stops it"
    } else {
        "what was started so far is stopped again"
    }
}

/// Shows each component; says whether all of them are ready.
pub async fn status(options: &Options) -> Result<bool> {
    let stack = Stack::open(options)?;
    let style = Style::for_stdout();
    let mut ready = true;
    let mut table = style
        .dim(&format!("{:<12} {:<9} {:>8} {:>10}  address", "component", "state", "pid", "uptime"))
        + "\n";
    for component in stack.layout().components() {
        let health = stack.health(component).await;
        ready &= health == Health::Ready;
        let state = match &health {
            Health::Ready => style.good("ready    "),
            Health::NotReady(_) => style.bad("not ready"),
            Health::Stopped => style.bad("stopped  "),
        };
        let row = stack.process(component).map_or_else(String::new, |process| {
            let place = stack.layout().describe(component);
            format!("{:>8} {:>10}  {place}", process.pid, uptime(process.uptime()))
        });
        table += &format!("{component:<12} {state} {row}\n");
        if let Health::NotReady(reason) = health {
            table += &style.bad(&format!("{:12} {reason}\n", ""));
        }
    }
    if stack.layout().broker.is_none() {
        table += "the broker is the one that AMQP_URL names\n";
    }
    if stack.layout().traces.is_none() {
        table += "traces go where OTEL_EXPORTER_OTLP_ENDPOINT says\n";
    }
    if !ready {
        table += "`make up` starts what is stopped; `make logs` may know why something is not ready\n";
    }
    show(&table)?;
    Ok(ready)
}

/// Which log lines are asked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LogsWanted {
    /// Only the lines of this trace
    #[arg(long, value_name = "ID", conflicts_with = "order")]
    pub trace: Option<String>,
    /// Only the lines of this order, from all services
    #[arg(long, value_name = "ID")]
    pub order: Option<String>,
    /// Keep showing what is written
    #[arg(long, short)]
    pub follow: bool,
    /// At most so many lines, the newest [default: 100, or all that an id asks for]
    #[arg(long, short = 'n', value_name = "N")]
    pub lines: Option<usize>,
}

/// Shows the log lines of all services as one log.
pub async fn logs(options: &Options, wanted: &LogsWanted) -> Result<()> {
    let dir = Stack::open(options)?.log_dir();
    let filter = filter(&dir, wanted)?;
    let limit = wanted.lines.or(filter.is_everything().then_some(LINES));
    let mut follow = wanted.follow.then(|| Follow::from_end(&dir)).transpose()?;
    let lines = logs::read(&dir, &filter, limit)?;
    if lines.is_empty() && follow.is_none() {
        match (&wanted.order, &wanted.trace) {
            (Some(id), _) => bail!("no log line in {} is about order {id}", dir.display()),
            (_, Some(id)) => bail!("no log line in {} belongs to trace {id}", dir.display()),
            _ => bail!("there are no log lines in {} yet; `make up` starts the services", dir.display()),
        }
    }
    show_lines(&lines, filter.is_everything())?;
    while let Some(follow) = &mut follow {
        tokio::time::sleep(Duration::from_millis(200)).await;
        show_lines(&follow.next(&filter)?, filter.is_everything())?;
    }
    Ok(())
}

fn filter(dir: &Path, wanted: &LogsWanted) -> Result<Filter> {
    match (&wanted.order, &wanted.trace) {
        (Some(order), _) => Filter::order(dir, order),
        (_, Some(trace)) => Ok(Filter::trace(trace)),
        _ => Ok(Filter::default()),
    }
}

/// What to look a trace up by.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct TraceWanted {
    /// The trace of this order
    #[arg(long, value_name = "ID")]
    pub order: Option<String>,
    /// The trace with this id
    #[arg(long, value_name = "ID")]
    pub trace: Option<String>,
}

/// Draws a trace.
pub async fn trace(options: &Options, wanted: &TraceWanted) -> Result<()> {
    let stack = Stack::open(options)?;
    let client = http::client()?;
    let id = match (&wanted.order, &wanted.trace) {
        (Some(order), _) => order::trace_id(&client, &stack.gateway_url(), &stack.log_dir(), order).await?,
        (None, trace) => trace.clone().context("name an order or a trace")?,
    };
    let jaeger =
        stack.jaeger_url().context("the traces go where OTEL_EXPORTER_OTLP_ENDPOINT says: look there")?;
    let backend = Jaeger::new(client, &jaeger);
    let deadline = Instant::now() + ARRIVAL;
    let mut trace = backend.trace(&id).await?;
    while trace.as_ref().is_none_or(|trace| !trace.missing().is_empty()) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
        trace = backend.trace(&id).await?;
    }
    let trace = trace.with_context(|| {
        format!(
            "{jaeger} does not know trace {id} (yet): spans take a second to arrive, and only the newest traces \
             are kept, in memory, until `make down`"
        )
    })?;
    show(&trace.tree(Style::for_stdout(), terminal_width()))
}

fn show_lines(lines: &[Line], with_ids: bool) -> Result<()> {
    let style = Style::for_stdout();
    show(&lines.iter().map(|line| line.human(style, with_ids) + "\n").collect::<String>())
}

/// Writes a result to standard output.
///
/// # Errors
/// When standard output is closed.
pub fn show(text: &str) -> Result<()> {
    stdout().lock().write_all(text.as_bytes()).context("cannot write to standard output")
}

fn terminal_width() -> Option<usize> {
    let stdout = stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten();
    size.map(|size| usize::from(size.ws_col)).filter(|width| *width > 0)
}
