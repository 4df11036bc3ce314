//! The life of a service around its telemetry: settings before it, a signal to stop, telemetry last.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use actix::Addr;
use actix_web::dev::Server;
use clap::Parser;
use clap::error::ErrorKind;
use tokio::signal::unix::{SignalKind, signal};

use crate::{Chain, Observability, Shutdown};

/// Reads the settings of a service from `.env`, the environment and the command line, each over the one before.
///
/// `check` looks at what a single value can't tell, and at secrets: clap would print those. A bad or missing
/// value is reported with the name of its variable and ends the process with code 2, `--help` with code 0;
/// nothing has been started by then.
pub fn settings<S: Parser>(check: impl FnOnce(&S) -> Result<(), String>) -> S {
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        match error {
            // The line itself may hold a secret.
            dotenvy::Error::LineParse(..) => eprintln!("error: .env has a line that is not KEY=value"),
            error => eprintln!("error: can't read .env: {error}"),
        }
        std::process::exit(2);
    }
    let settings = S::parse();
    if let Err(reason) = check(&settings) {
        S::command().error(ErrorKind::ValueValidation, reason).exit();
    }
    settings
}

/// A duration such as `500ms`, `10s` or `2m`; a value parser for settings.
///
/// # Errors
/// Says what was expected when `value` is none.
pub fn duration(value: &str) -> Result<Duration, String> {
    humantime::parse_duration(value)
        .map_err(|error| format!("{error}: expected a duration such as 500ms or 10s"))
}

/// Completes at the first SIGTERM or SIGINT, so that both drain the service.
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Serves until SIGTERM or SIGINT, then finishes what is in flight; `server` is built with `disable_signals`.
///
/// actix's own handling of signals stops the System together with the server, and with it every other arbiter:
/// that of [`Observability`] would be gone before the last spans have left.
///
/// # Errors
/// When the operating system refuses a signal handler, or the server fails.
pub async fn serve(server: Server) -> io::Result<()> {
    let (stop, handle) = (stop_signal()?, server.handle());
    actix::spawn(async move {
        stop.await;
        handle.stop(true).await;
    });
    server.await
}

/// Says which address can't be listened on, and which setting moves it.
pub fn cannot_listen(setting: &str, address: SocketAddr) -> impl FnOnce(io::Error) -> io::Error {
    move |error| {
        io::Error::new(error.kind(), format!("can't listen on {address}: {error}; set {setting} to another"))
    }
}

/// The last act of a service: lets spans and log lines leave, for as long as `deadline` allows.
///
/// What a dead receiver keeps from leaving is lost to it, but must not keep the service from stopping.
pub async fn shut_down(observability: &Addr<Observability>, deadline: Duration) {
    // Both a timeout and a stopped actor mean that nothing more will leave.
    let _ = tokio::time::timeout(deadline, observability.send(Shutdown)).await;
}

/// How a service ends: code 0, or its error in one line on stderr and code 1.
pub fn report<E: AsRef<dyn std::error::Error + Send + Sync>>(ended: Result<(), E>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
