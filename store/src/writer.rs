//! The writer: commits what everybody wants to write in groups, each write answered after its commit.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, Connection, Row};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::url::DatabaseUrl;
use crate::{Dialect, StoreError};

/// Writes in one group; with more, the first would wait long for the last.
const MOST_IN_GROUP: usize = 256;
/// Writes that may wait; more wait outside, and who brings them has bounds of his own.
const MOST_WAITING: usize = 4096;
/// For one group. A server that does not answer for so long is given up, and dialled again.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long SQLite waits for another process to let go of the file; less than the deadline above.
const BUSY: &str = "PRAGMA busy_timeout = 2000";

/// Something to write. It runs inside of a transaction that it does not begin or end, together with others.
pub trait Write: Send + Sync + 'static {
    /// What its caller is told after the commit.
    type Output: Send + 'static;

    /// Writes. Runs again, in a transaction by itself, when the group had to be rolled back, and once more after a
    /// conflict with a row that a replica has just written.
    fn write(&self, session: &mut Session<'_>) -> impl Future<Output = sqlx::Result<Self::Output>> + Send;
}

/// The transaction that a [`Write`] runs in.
pub struct Session<'c> {
    /// To run statements on: `&mut *session.connection`.
    pub connection: &'c mut AnyConnection,
    /// Which database that is.
    pub dialect: Dialect,
    /// The clock of the database when the group began, in milliseconds since the Unix epoch. Replicas agree on it,
    /// and on nothing else.
    pub now: i64,
}

impl Session<'_> {
    /// The time `duration` after now, in the unit of now.
    pub fn after(&self, duration: Duration) -> i64 {
        self.now.saturating_add(milliseconds(duration))
    }

    /// The time `duration` before now, in the unit of now.
    pub fn before(&self, duration: Duration) -> i64 {
        self.now.saturating_sub(milliseconds(duration))
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Where writes are handed in; cheap to clone. The task ends with the last of them.
#[derive(Clone)]
pub(crate) struct Writer(mpsc::Sender<Box<dyn Job>>);

impl Writer {
    /// Starts the task, on a connection that is open already.
    pub(crate) fn start(url: DatabaseUrl, options: AnyConnectOptions, open: AnyConnection) -> Self {
        let (sender, jobs) = mpsc::channel(MOST_WAITING);
        tokio::spawn(Desk { dialect: url.dialect, options, connection: Some(open) }.work(jobs));
        Self(sender)
    }

    pub(crate) async fn write<W: Write>(&self, write: W) -> Result<W::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Pending { write, output: None, reply: Some(reply) });
        self.0.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// Opens a connection to write on.
pub(crate) async fn connect(dialect: Dialect, options: &AnyConnectOptions) -> sqlx::Result<AnyConnection> {
    let mut connection = AnyConnection::connect_with(options).await?;
    if dialect == Dialect::Sqlite {
        // NORMAL may forget the last commits at a power loss, and those have been answered.
        for pragma in
            [BUSY, "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON"]
        {
            sqlx::raw_sql(pragma).execute(&mut connection).await?;
        }
    }
    Ok(connection)
}

/// A write and who waits for it, whatever it is that he waits for.
trait Job: Send {
    fn run<'a>(&'a mut self, session: &'a mut Session<'_>) -> BoxFuture<'a, sqlx::Result<()>>;
    /// The commit has happened.
    fn committed(&mut self);
    fn failed(&mut self, error: StoreError);
}

struct Pending<W: Write> {
    write: W,
    output: Option<W::Output>,
    reply: Option<oneshot::Sender<Result<W::Output, StoreError>>>,
}

impl<W: Write> Pending<W> {
    fn answer(&mut self, answer: Result<W::Output, StoreError>) {
        if let Some(reply) = self.reply.take() {
            // Who hung up does not want to know; what is committed stays.
            let _ = reply.send(answer);
        }
    }
}

impl<W: Write> Job for Pending<W> {
    fn run<'a>(&'a mut self, session: &'a mut Session<'_>) -> BoxFuture<'a, sqlx::Result<()>> {
        Box::pin(async {
            self.output = Some(self.write.write(session).await?);
            Ok(())
        })
    }

    fn committed(&mut self) {
        let answer = self.output.take().ok_or(StoreError::Closed);
        self.answer(answer);
    }

    fn failed(&mut self, error: StoreError) {
        self.answer(Err(error));
    }
}

/// Why a group was not committed.
enum Failure {
    /// One of the writes failed: without it the others may succeed.
    OfOne(StoreError),
    /// It would be the same for every one of them.
    OfAll(StoreError),
}

struct Desk {
    dialect: Dialect,
    options: AnyConnectOptions,
    connection: Option<AnyConnection>,
}

impl Desk {
    async fn work(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let mut group = Vec::with_capacity(MOST_IN_GROUP);
        while jobs.recv_many(&mut group, MOST_IN_GROUP).await > 0 {
            self.settle(&mut group).await;
            group.clear();
        }
        if let Some(connection) = self.connection {
            // Whatever is to be kept has been committed.
            let _ = connection.close().await;
        }
    }

    async fn settle(&mut self, group: &mut [Box<dyn Job>]) {
        match self.commit(group).await {
            Ok(()) => group.iter_mut().for_each(|job| job.committed()),
            Err(Failure::OfAll(error)) => group.iter_mut().for_each(|job| job.failed(error.clone())),
            Err(Failure::OfOne(_)) => {
                for job in group {
                    self.settle_alone(job).await;
                }
            }
        }
    }

    async fn settle_alone(&mut self, job: &mut Box<dyn Job>) {
        let mut outcome = self.commit(std::slice::from_mut(job)).await;
        if matches!(&outcome, Err(Failure::OfOne(error)) if error.is_conflict()) {
            // A replica was faster between the look and the write; now the look sees what it wrote.
            outcome = self.commit(std::slice::from_mut(job)).await;
        }
        match outcome {
            Ok(()) => job.committed(),
            Err(Failure::OfOne(error) | Failure::OfAll(error)) => job.failed(error),
        }
    }

    async fn commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        let committed = timeout(DEADLINE, async {
            let mut connection = self.connection().await.map_err(|error| Failure::OfAll(error.into()))?;
            let (outcome, is_sound) = transact(&mut connection, self.dialect, group).await;
            // One that has lost its server, or its place in the conversation, is not used again.
            self.connection = is_sound.then_some(connection);
            outcome
        });
        committed.await.unwrap_or_else(|_| Err(Failure::OfAll(StoreError::Unknown(late()))))
    }

    /// The open connection, or a new one where a server has ended it since.
    async fn connection(&mut self) -> sqlx::Result<AnyConnection> {
        if let Some(mut open) = self.connection.take()
            // A file does not hang up.
            && (self.dialect == Dialect::Sqlite || open.ping().await.is_ok())
        {
            return Ok(open);
        }
        connect(self.dialect, &self.options).await
    }
}

fn late() -> Arc<sqlx::Error> {
    let reason = format!("no answer within {} s", DEADLINE.as_secs());
    Arc::new(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, reason)))
}

/// Commits a group or nothing; also says whether the connection can be used again.
async fn transact(
    connection: &mut AnyConnection,
    dialect: Dialect,
    group: &mut [Box<dyn Job>],
) -> (Result<(), Failure>, bool) {
    // A transaction that begins as a reader can't become a writer once another process has written.
    let begin = if dialect == Dialect::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
    let mut transaction = match connection.begin_with(begin).await {
        Ok(transaction) => transaction,
        Err(error) => {
            let has_answered = error.as_database_error().is_some();
            return (Err(Failure::OfAll(error.into())), has_answered);
        }
    };
    if let Err(failure) = run(&mut transaction, dialect, group).await {
        // SQLite may have rolled back by itself, when its disk is full: then sqlx has lost count of transactions.
        return (Err(failure), transaction.rollback().await.is_ok());
    }
    match transaction.commit().await {
        Ok(()) => (Ok(()), true),
        Err(error) => (Err(Failure::OfAll(StoreError::of_commit(error))), false),
    }
}

async fn run(
    transaction: &mut AnyConnection,
    dialect: Dialect,
    group: &mut [Box<dyn Job>],
) -> Result<(), Failure> {
    let now = clock(transaction, dialect).await.map_err(|error| Failure::OfAll(error.into()))?;
    let mut session = Session { connection: transaction, dialect, now };
    for job in group {
        job.run(&mut session).await.map_err(|error| Failure::OfOne(error.into()))?;
    }
    Ok(())
}

/// See [`Session::now`]. Whoever has a file has the clock of its machine.
async fn clock(connection: &mut AnyConnection, dialect: Dialect) -> sqlx::Result<i64> {
    match dialect {
        Dialect::Sqlite => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Ok(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
        }
        Dialect::Postgres => {
            let clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT";
            sqlx::query(clock).fetch_one(connection).await?.try_get(0)
        }
    }
}
