//! The life of a service around its telemetry: settings before it, a signal to stop, telemetry last.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | asked to stop, and everything was finished |
//! | 1 | an error, in one line on stderr |
//! | 2 | a bad or missing setting |
//! | 3 | asked to stop, and something was abandoned or left for the next start; a log line says what |

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use actix::Addr;
use actix_web::dev::Server;
use clap::Parser;
use clap::error::ErrorKind;
use slog::Logger;
use telemetry::http::Observer;
use telemetry::{Chain, Observability, Shutdown};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, timeout_at};

/// What could not be finished in time.
const ABANDONED: u8 = 3;
/// Of an actor that is still there, to say that its own deadline has passed.
const COURTESY: Duration = Duration::from_secs(1);

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

/// SIGTERM and SIGINT, so that both drain the service.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs `server` until SIGTERM or SIGINT, then finishes the requests that are in flight. From the signal on, the service
/// has `deadline` for all that it does before it ends; a second signal ends that time at once.
pub(crate) async fn run(server: Server, observer: &Observer, deadline: Duration) -> io::Result<Stopping> {
    let (mut signals, handle) = (Signals::listen()?, server.handle());
    let mut server = actix::spawn(server);
    tokio::select! {
        failed = &mut server => {
            failed.map_err(io::Error::other)??;
            return Err(io::Error::other("the server has ended by itself"));
        }
        () = signals.next() => {}
    }
    slog::info!(observer.log(), "stopping");
    let now = Instant::now();
    let mut stopping = Stopping {
        signals,
        // The rest is for telemetry: what was abandoned should be seen.
        work_until: now + deadline * 4 / 5,
        deadline: now + deadline,
        is_whole: true,
        log: observer.log().clone(),
    };
    // Connections without a request may stay; who is only held on to has nothing to lose.
    let _ = stopping.in_time(handle.stop(true)).await;
    if observer.active_requests() > 0 {
        stopping.abandon("requests were still in flight; their outcome is not known to their clients");
    }
    Ok(stopping)
}

/// A service on its way out: the time that is left, and whether all was finished so far.
pub struct Stopping {
    signals: Signals,
    work_until: Instant,
    deadline: Instant,
    is_whole: bool,
    log: Logger,
}

impl Stopping {
    /// Waits for `work` while there is time; else it is abandoned, and `consequence` is logged.
    pub async fn finish(&mut self, work: impl Future, consequence: &'static str) {
        if self.in_time(work).await.is_none() {
            self.abandon(consequence);
        }
    }

    /// Something was not finished: logs it, and makes the exit code tell.
    pub fn abandon(&mut self, consequence: &'static str) {
        self.is_whole = false;
        slog::warn!(self.log, "{}", consequence);
    }

    /// The last act of a service: lets spans and log lines leave while there is time. Answers with the exit code.
    ///
    /// What a dead receiver keeps from leaving is lost to it, but must not keep the service from stopping.
    pub async fn shut_down(mut self, observability: &Addr<Observability>) -> ExitCode {
        self.work_until = self.deadline + COURTESY;
        let have_left = self.in_time(observability.send(Shutdown { deadline: self.deadline })).await;
        if self.is_whole && matches!(have_left, Some(Ok(true))) {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(ABANDONED)
        }
    }

    async fn in_time<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = timeout_at(self.work_until, work) => done.ok(),
            () = self.signals.next() => {
                (self.work_until, self.deadline) = (Instant::now(), Instant::now());
                None
            }
        }
    }
}

/// How a service ends: with its exit code, or its error in one line on stderr and code 1.
pub fn report<E: AsRef<dyn std::error::Error + Send + Sync>>(ended: Result<ExitCode, E>) -> ExitCode {
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
