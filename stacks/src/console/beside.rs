//! The console beside a Docker stack: a process of this machine, remembered in `var/console.json`. In the local stack the
//! console is one of its components.

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::session::{TOKEN, link};
use crate::{
    address, http,
    local::{
        LocalStack,
        layout::{CONSOLE, Component},
    },
    output::show,
    process::{Process, append, spawn_detached},
    settings::Options,
};

/// The time in which the console must answer.
const MAX_START: Duration = Duration::from_secs(15);
/// The time in which it must end.
const MAX_STOP: Duration = Duration::from_secs(5);

/// Whether to open the page.
#[derive(Clone, Debug, clap::Args)]
pub struct ConsoleArgs {
    /// Open the page in the desktop's browser, where there is one
    #[arg(long)]
    pub open: bool,
}

/// The process, as it is remembered.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Beside {
    process: Process,
    listen: SocketAddr,
}

/// Prints the link to the console that runs, and opens it.
///
/// # Errors
/// When no console runs.
pub async fn console(options: &Options, args: &ConsoleArgs) -> Result<()> {
    let stack = LocalStack::open(options)?;
    let component = stack.process(Component::Console).and(stack.layout().console);
    let listen = component.or(read(options)?.map(|beside| beside.listen));
    let listen =
        listen.context("the console does not run; `make up` or `make up-classic` start it with a stack")?;
    http::probe(&http::client()?, &(address::url(listen) + "/livez"))
        .await
        .map_err(|reason| anyhow::anyhow!("cannot reach the console at {listen}: it {reason}"))?;
    let token = stack.setting(TOKEN).context("cannot find CONSOLE_TOKEN in .env; `make up` writes one")?;
    let link = link(listen, token);
    show(&format!("{link}\n"))?;
    if args.open {
        // Without a desktop the link is enough.
        let _ = Command::new("xdg-open").arg(&link).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
    Ok(())
}

/// Starts the console beside a Docker stack, unless it runs or `CONSOLE=off`; returns its link.
///
/// # Errors
/// When its port is taken, or it does not answer.
pub(crate) async fn start(options: &Options) -> Result<Option<String>> {
    let settings = options.settings()?;
    if settings.get("CONSOLE").is_some_and(|value| value == "off") {
        return Ok(None);
    }
    let token = settings.get(TOKEN).context("cannot find CONSOLE_TOKEN in .env")?;
    if let Some(beside) = read(options)? {
        return Ok(Some(link(beside.listen, token)));
    }
    let listen = match settings.get(CONSOLE.0) {
        Some(value) => address::parse(CONSOLE.0, value)?,
        None => SocketAddr::from(([127, 0, 0, 1], CONSOLE.1)),
    };
    if let Some(obstacle) = address::obstacle(listen) {
        bail!("cannot start the console: {listen} {obstacle}: stop it, or set {} in .env", CONSOLE.0);
    }
    let dir = options.dir.canonicalize().with_context(|| format!("cannot use {}", options.dir.display()))?;
    fs::create_dir_all(dir.join("logs")).context("cannot make the directory logs")?;
    let (log, _) = append(&dir.join("logs/console.err"))?;
    let mut command = Command::new(options.binaries.join("stacks"));
    command.args(["console-server", "--listen", &listen.to_string()]).current_dir(&dir);
    let mut child = spawn_detached(&mut command, Stdio::null(), log).context("cannot start the console")?;
    let beside = Beside { process: Process::of(child.id())?, listen };
    fs::write(file(options), serde_json::to_vec_pretty(&beside)?).context("cannot write var/console.json")?;
    let (client, begun) = (http::client()?, Instant::now());
    while let Err(reason) = http::probe(&client, &(address::url(listen) + "/livez")).await {
        let ended = child.try_wait().ok().flatten();
        ensure!(
            ended.is_none() && begun.elapsed() < MAX_START,
            "cannot start the console: {reason}; see logs/console.err"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(Some(link(listen, token)))
}

/// Stops the console beside a Docker stack; true if it ran.
///
/// # Errors
/// When `var/console.json` cannot be read or removed.
pub(crate) fn stop(options: &Options) -> Result<bool> {
    let Some(beside) = read(options)? else { return Ok(false) };
    beside.process.stop(MAX_STOP);
    fs::remove_file(file(options)).context("cannot remove var/console.json")?;
    Ok(true)
}

/// The console that runs beside a Docker stack.
fn read(options: &Options) -> Result<Option<Beside>> {
    let text = match fs::read(file(options)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.context("cannot read var/console.json")?,
    };
    let beside: Beside =
        serde_json::from_slice(&text).context("cannot read var/console.json: remove the file")?;
    Ok(beside.process.is_alive().then_some(beside))
}

fn file(options: &Options) -> PathBuf {
    options.dir.join("var/console.json")
}
