//! `stacks logs`.

use std::{path::Path, time::Duration};

use anyhow::{Result, bail};

use crate::{
    local::LocalStack,
    logs::{self, Filter, Follow, Line},
    output::show,
    settings::Options,
    style::Style,
};

/// Lines shown without an id and a number.
const DEFAULT_LINES: usize = 100;
const PAUSE: Duration = Duration::from_millis(200);

/// The log lines to show.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LogsArgs {
    /// Only the lines of this trace
    #[arg(long, value_name = "ID", conflicts_with = "order")]
    pub trace: Option<String>,
    /// Only the lines of this order, from all services
    #[arg(long, value_name = "ID")]
    pub order: Option<String>,
    /// Keep showing new lines
    #[arg(long, short)]
    pub follow: bool,
    /// At most this many lines, the newest [default: 100, or all lines of an id]
    #[arg(long, short = 'n', value_name = "N")]
    pub lines: Option<usize>,
}

/// Shows the log lines of all services as one log.
///
/// # Errors
/// When there are no lines, or a file cannot be read.
pub async fn logs(options: &Options, args: &LogsArgs) -> Result<()> {
    let dir = LocalStack::open(options)?.log_dir();
    let filter = filter(&dir, args)?;
    let limit = args.lines.or(filter.is_everything().then_some(DEFAULT_LINES));
    let mut follow = args.follow.then(|| Follow::from_end(&dir)).transpose()?;
    let lines = logs::read(&dir, &filter, limit)?;
    if lines.is_empty() && follow.is_none() {
        match (&args.order, &args.trace) {
            (Some(id), _) => bail!("no log line in {} is about order {id}", dir.display()),
            (_, Some(id)) => bail!("no log line in {} belongs to trace {id}", dir.display()),
            _ => bail!("no log lines in {} yet; `make up` starts the services", dir.display()),
        }
    }
    show_lines(&lines, filter.is_everything())?;
    while let Some(follow) = &mut follow {
        tokio::time::sleep(PAUSE).await;
        show_lines(&follow.next(&filter)?, filter.is_everything())?;
    }
    Ok(())
}

/// Writes log lines to standard output, with or without the ids of order and trace.
pub(super) fn show_lines(lines: &[Line], with_ids: bool) -> Result<()> {
    let style = Style::for_stdout();
    show(&lines.iter().map(|line| line.human(style, with_ids) + "\n").collect::<String>())
}

fn filter(dir: &Path, args: &LogsArgs) -> Result<Filter> {
    match (&args.order, &args.trace) {
        (Some(order), _) => Filter::order(dir, order),
        (_, Some(trace)) => Ok(Filter::trace(trace)),
        _ => Ok(Filter::default()),
    }
}
