//! A command and the server that is lent to it.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{ExitCode, ExitStatus},
};

use anyhow::{Context as _, Result};
use stacks::{process::Process, signals::Interruptions};
use tokio::process::{Child, Command};

use super::server::Server;

/// Runs a command, with a new server unless it has one, and returns its exit code.
pub(super) async fn run<S: Server>(command: &[String], has_server: bool) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("name the command to run")?;
    let mut command = Command::new(program);
    command.args(arguments);
    let mut interruptions = Interruptions::new()?;
    if has_server {
        return supervise(&mut command, &mut interruptions).await.map(code);
    }
    let server = tokio::select! {
        started = S::start() => started?,
        signal = interruptions.next() => return Ok(ExitCode::from(128 + signal.as_raw() as u8)),
    };
    command.envs(server.variables());
    supervise(&mut command, &mut interruptions).await.map(code)
}

/// Runs a command to its end, and passes on the signals that ask this process to end.
async fn supervise(command: &mut Command, interruptions: &mut Interruptions) -> Result<ExitStatus> {
    let mut child: Child =
        command.spawn().with_context(|| format!("cannot run {:?}", command.as_std().get_program()))?;
    let process = child.id().and_then(|pid| Process::of(pid).ok());
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            signal = interruptions.next() => if let Some(process) = process {
                process.signal(signal);
            },
        }
    }
}

/// The exit code of a shell: 128 plus the signal that ended the command.
fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lent::Broker;

    #[tokio::test]
    async fn the_exit_code_is_that_of_the_command() {
        let exit = |script: &str| ["sh", "-c", script].map(String::from);
        for (script, expected) in [("exit 7", 7), ("kill -KILL $$", 137)] {
            let ended = run::<Broker>(&exit(script), true).await.unwrap();
            assert_eq!(ended, ExitCode::from(expected), "{script}");
        }
    }
}
