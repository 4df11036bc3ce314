//! The life of a service: it reads its settings, runs until a signal, finishes its work, and shuts down telemetry last.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | stopped by a signal, all work was finished |
//! | 1 | an error, which is one line on stderr |
//! | 2 | a bad or missing setting |
//! | 3 | stopped by a signal, work was abandoned or left for the next start; a log line names it |

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
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout_at};

/// The exit code for work that was abandoned.
const ABANDONED: u8 = 3;
/// Beyond the deadline, for the answer of an actor that keeps the same deadline.
const GRACE: Duration = Duration::from_secs(1);

/// Reads the settings of a service from `.env` in the working directory, the environment and the command line, each over
/// the one before.
///
/// `check` checks values against each other, and secrets, which clap would print. A bad or missing value is reported with
/// the name of its variable and ends the process with code 2, `--help` with code 0, before anything has been started.
pub fn settings<S: Parser>(check: impl FnOnce(&S) -> Result<(), String>) -> S {
    let is_in_environment = std::env::var_os("SSL_CERT_FILE").is_some();
    // That of a directory above may belong to another program.
    let read = dotenvy::from_path(".env");
    let parsed = S::try_parse();
    // `--help` and `--version` are answered in any case.
    let needs_settings = parsed.as_ref().err().is_none_or(clap::Error::use_stderr);
    if let Err(error) = read
        && needs_settings
        && !error.not_found()
    {
        match error {
            // The line itself may hold a secret.
            dotenvy::Error::LineParse(..) => eprintln!("error: .env has a line that is not KEY=value"),
            error => eprintln!("error: cannot read .env: {error}"),
        }
        std::process::exit(2);
    }
    if !is_in_environment {
        telemetry::certificate::set_origin(".env");
    }
    let settings = parsed.unwrap_or_else(|error| error.exit());
    if let Err(reason) = check(&settings) {
        S::command().error(ErrorKind::ValueValidation, reason).exit();
    }
    settings
}

/// A duration such as `500ms`, `10s` or `2m`; a value parser for settings.
///
/// # Errors
/// When `value` is not a duration; the text has an example.
pub fn duration(value: &str) -> Result<Duration, String> {
    humantime::parse_duration(value)
        .map_err(|error| format!("{error}: expected a duration such as 500ms or 10s"))
}

/// How long a service takes to stop after a signal.
#[derive(Clone, Copy, Debug)]
pub struct StopTimes {
    /// Before the listener closes: the service is not ready and serves on, until load balancers have seen it.
    pub drain_delay: Duration,
    /// After that, for all that the service does before it ends.
    pub deadline: Duration,
}

/// SIGTERM, SIGINT and SIGHUP, so that each of them drains the service.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            // The end of a terminal: its default is to end the process in the middle of a request.
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// Runs `server` until SIGTERM, SIGINT or SIGHUP, then finishes the requests that are in flight. `announce` makes the
/// service not ready. A second signal ends the times at once.
pub(crate) async fn run(
    server: Server,
    observer: &Observer,
    times: StopTimes,
    announce: impl FnOnce(),
) -> io::Result<Stopping> {
    let (mut signals, handle) = (Signals::listen()?, server.handle());
    let mut server = actix::spawn(server);
    tokio::select! {
        failed = &mut server => {
            failed.map_err(io::Error::other)??;
            return Err(io::Error::other("the server has ended without a signal"));
        }
        () = signals.next() => {}
    }
    slog::info!(observer.log(), "stopping");
    announce();
    let deadline = tokio::select! {
        () = sleep(times.drain_delay) => times.deadline,
        () = signals.next() => Duration::ZERO,
    };
    let now = Instant::now();
    let mut stopping = Stopping {
        signals,
        // The rest is for telemetry, which reports the work that was abandoned.
        work_until: now + deadline * 4 / 5,
        deadline: now + deadline,
        is_whole: true,
        log: observer.log().clone(),
    };
    // A connection without a request loses nothing when the process ends.
    let _ = stopping.in_time(handle.stop(true)).await;
    if observer.active_requests() > 0 {
        stopping.abandon("requests were still in flight; their outcome is not known to their clients");
    }
    Ok(stopping)
}

/// A service that is stopping: the time that is left, and whether all work was finished so far.
pub struct Stopping {
    signals: Signals,
    work_until: Instant,
    deadline: Instant,
    is_whole: bool,
    log: Logger,
}

impl Stopping {
    /// Waits for `work` while there is time; then it is abandoned, and `consequence` is logged.
    pub async fn finish(&mut self, work: impl Future, consequence: &'static str) {
        if self.in_time(work).await.is_none() {
            self.abandon(consequence);
        }
    }

    /// Logs that work was not finished, and makes the exit code 3.
    pub fn abandon(&mut self, consequence: &'static str) {
        self.is_whole = false;
        slog::warn!(self.log, "{}", consequence);
    }

    /// Delivers spans and log lines while there is time, and returns the exit code. A receiver that does not answer does not
    /// keep the service from stopping.
    pub async fn shut_down(mut self, observability: &Addr<Observability>) -> ExitCode {
        self.work_until = self.deadline + GRACE;
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

/// Runs a service to its end, and returns its exit code; an error is written to stderr, in one line, and has code 1.
pub async fn report<E: AsRef<dyn std::error::Error + Send + Sync>>(
    service: impl Future<Output = Result<ExitCode, E>>,
) -> ExitCode {
    let error = match service.await {
        Ok(code) => return code,
        Err(error) => error,
    };
    eprintln!("error: {}", Chain(error.as_ref()));
    // An actor that has not begun yet begins when it is dropped, and its timers panic without a runtime.
    yield_now().await;
    ExitCode::FAILURE
}
