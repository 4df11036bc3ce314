//! A SQLite file: opened by one process, written by one connection.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use rusqlite::{Connection, InterruptHandle, OpenFlags};

use crate::StoreError;
use crate::counts::Counts;
use crate::error::Cause;
use crate::health::Health;
use crate::job::Job;
use crate::lane::{Driver, Failure};
use crate::migrate::{self, Migrations};
use crate::session::{self, Session, clock};

/// Time for which SQLite waits for another process to let go of the file; less than a caller waits.
const BUSY: Duration = Duration::from_secs(2);
/// Time for which a start waits for the process that has the file: it may be stopping.
const LOCK_DEADLINE: Duration = Duration::from_secs(2);
const LOCK_PERIOD: Duration = Duration::from_millis(20);
/// Statements that stay prepared; more than a service has.
const MAX_PREPARED: usize = 64;
/// A log that a long reader has made larger is cut to this size once it is folded into the file.
const MAX_LOG_BYTES: u32 = 64 << 20;
/// A larger file is checked after the start: reading it takes longer than a start may.
const MAX_CHECKED_AT_START: u64 = 32 << 20;

/// The connection that writes, and what the process holds of the file.
pub(crate) struct Writer {
    path: PathBuf,
    connection: Option<Connection>,
    /// Stops the check of a large file.
    check: Option<InterruptHandle>,
    counts: Counts,
    /// Held until the connection is closed: fields are dropped in order.
    _lock: File,
}

/// The connection that reads; made when it is needed.
pub(crate) struct Reader {
    path: PathBuf,
    connection: Option<Connection>,
    counts: Counts,
}

impl Writer {
    /// Makes the file if there is none, and brings its schema up to date. Touches nothing while another process has
    /// the file.
    pub(crate) fn open(
        path: PathBuf,
        migrations: Migrations,
        health: Health,
        counts: Counts,
    ) -> Result<Self, StoreError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|error| StoreError::Directory(Arc::new(error)))?;
        }
        let lock = lock(&path)?;
        let mut connection = connect(&path, true).map_err(cannot_open)?;
        let mut check = None;
        if std::fs::metadata(&path).is_ok_and(|file| file.len() > MAX_CHECKED_AT_START) {
            check = Some(check_later(&path, health)?);
        } else {
            self::check(&connection)?;
        }
        migrate::sqlite(&mut connection, migrations)?;
        Ok(Self { path, connection: Some(connection), check, counts, _lock: lock })
    }

    fn transact(connection: &Connection, jobs: &mut [Box<dyn Job>], counts: &Counts) -> Result<(), Failure> {
        let run = |sql| connection.prepare_cached(sql)?.raw_execute();
        // A transaction that begins as a reader can't become a writer once another process has written.
        run("BEGIN IMMEDIATE").map_err(|error| Failure::OfAll(error.into()))?;
        let session = Session::new(session::Connection::Sqlite(connection), clock(), counts);
        for job in jobs {
            if let Err(error) = in_place(job, &session) {
                roll_back(connection);
                return Err(Failure::OfOne(error));
            }
        }
        run("COMMIT").map(|_| counts.commit()).map_err(|error| {
            roll_back(connection);
            Failure::OfAll(StoreError::of_commit(error.into()))
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(check) = &self.check {
            check.interrupt();
        }
    }
}

/// SQLite may have rolled back already, when its disk was full.
fn roll_back(connection: &Connection) {
    if !connection.is_autocommit() {
        // An error shows in the next group.
        let _ = connection.execute_batch("ROLLBACK");
    }
}

impl Driver for Writer {
    const IS_REMOTE: bool = false;
    const GATHERING: Duration = Duration::from_millis(1);

    async fn run(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        let connection = match self.connection.take() {
            Some(open) => open,
            None => connect(&self.path, true).map_err(|error| Failure::OfAll(error.into()))?,
        };
        let outcome = Self::transact(&connection, jobs, &self.counts);
        // After an I/O error only a new connection knows the state of the file.
        let is_sound = !matches!(outcome, Err(Failure::OfAll(StoreError::Unknown(_))));
        self.connection = is_sound.then_some(connection);
        outcome
    }
}

impl Reader {
    pub(crate) fn new(path: PathBuf, counts: Counts) -> Self {
        Self { path, connection: None, counts }
    }
}

impl Driver for Reader {
    const IS_REMOTE: bool = false;
    const GATHERING: Duration = Duration::ZERO;

    async fn run(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        let open = self.connection.take().map_or_else(|| connect(&self.path, false), Ok);
        let connection = open.map_err(|error| Failure::OfAll(error.into()))?;
        let session = Session::new(session::Connection::Sqlite(&connection), clock(), &self.counts);
        for job in jobs {
            if let Err(error) = in_place(job, &session) {
                job.fail(error);
            }
        }
        self.connection = Some(connection);
        Ok(())
    }
}

/// Runs a job at once: its statements wait for nothing but the disk.
fn in_place(job: &mut Box<dyn Job>, session: &Session<'_>) -> Result<(), StoreError> {
    // None: the job waits for something else, which would hold up the transaction of others.
    job.run(session).now_or_never().unwrap_or(Err(StoreError::Panicked))
}

fn connect(path: &Path, to_write: bool) -> rusqlite::Result<Connection> {
    let mode = if to_write {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
    } else {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    };
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_prepared_statement_cache_capacity(MAX_PREPARED);
    connection.busy_timeout(BUSY)?;
    if to_write {
        // NORMAL may forget the last commits at a power loss, and those have been answered.
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
             PRAGMA journal_size_limit = {MAX_LOG_BYTES};"
        ))?;
    }
    Ok(connection)
}

/// Takes the lock of a database file: a file beside it, which no tool for SQLite touches.
#[expect(clippy::disallowed_methods, reason = "the thread is the store's own")]
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let cannot_lock = |error| StoreError::Directory(Arc::new(error));
    let file = File::options().create(true).truncate(false).write(true).open(name).map_err(cannot_lock)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(cannot_lock(error)),
            Err(TryLockError::WouldBlock) if begun.elapsed() > LOCK_DEADLINE => {
                return Err(StoreError::Locked(path.display().to_string()));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PERIOD),
        }
    }
}

/// Reads the whole file, and says what is wrong with it.
fn check(connection: &Connection) -> Result<(), StoreError> {
    let finding = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match finding {
        Ok(finding) if finding == "ok" => Ok(()),
        Ok(finding) => Err(StoreError::Corrupt(finding)),
        Err(error) => {
            let error = cannot_open(error);
            Err(error.damage().map_or(error, StoreError::Corrupt))
        }
    }
}

/// Checks on a thread and a connection of its own. Damage stops the writer.
fn check_later(path: &Path, health: Health) -> Result<InterruptHandle, StoreError> {
    let connection = connect(path, false).map_err(cannot_open)?;
    let interrupt = connection.get_interrupt_handle();
    let work = move || {
        // Interrupted when the database is closed: that is no finding.
        if let Err(error @ StoreError::Corrupt(_)) = check(&connection) {
            health.set(Some(error));
        }
    };
    let thread = std::thread::Builder::new().name("store-check".to_owned()).spawn(work);
    thread.map_err(|error| StoreError::Open(Cause::Thread(Arc::new(error))))?;
    Ok(interrupt)
}

fn cannot_open(error: rusqlite::Error) -> StoreError {
    StoreError::Open(error.into())
}
