//! A PostgreSQL server: one connection that writes and one that reads, each made again when it is lost.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use rustls::ClientConfig;
use tokio::time::timeout;
use tokio_postgres::config::{Config, Host, TargetSessionAttrs};
use tokio_postgres::{Client, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::StoreError;
use crate::counts::Counts;
use crate::error::{Cause, refused_certificate};
use crate::health::DEADLINE;
use crate::job::Job;
use crate::lane::{Driver, Failure};
use crate::migrate::{self, Migrations};
use crate::session::{Connection, Session, clock};
use crate::url::Server;

/// One round trip. The settings hold for this transaction alone, so that they are right behind PgBouncer, too. Another
/// replica may hold a row while it is stopped: then its session ends, and until then nothing waits for it for long.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '4s'; \
     SET LOCAL idle_in_transaction_session_timeout = '10s'; \
     SELECT (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT";
/// A lost server is noticed on an idle connection after some 25 s.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_PERIOD: Duration = Duration::from_secs(5);
const MAX_KEEPALIVES: u32 = 3;
const DEFAULT_PORT: u16 = 5432;

/// A server and the open connection to it.
struct Remote {
    config: Config,
    /// The file of trusted certificates that the URL names.
    root_file: Option<PathBuf>,
    tls: MakeRustlsConnect,
    client: Option<Client>,
    counts: Counts,
}

/// The connection that writes.
pub(crate) struct Writer(Remote);

/// The connection that reads; made when it is needed.
pub(crate) struct Reader(Remote);

impl Remote {
    fn new(server: Server, owner: &str, tls: Arc<ClientConfig>, counts: Counts) -> Self {
        let mut config = server.config;
        config
            .connect_timeout(DEADLINE)
            .tcp_user_timeout(DEADLINE * 2)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_PERIOD)
            .keepalives_retries(MAX_KEEPALIVES);
        if config.get_application_name().is_none() {
            config.application_name(owner);
        }
        let root_file = server.root_file;
        Self { config, root_file, tls: MakeRustlsConnect::new((*tls).clone()), client: None, counts }
    }

    async fn connect(&self) -> Result<Client, Cause> {
        let connected = timeout(DEADLINE, self.config.connect(self.tls.clone())).await;
        let connected = connected.map_err(|_| Cause::Late(DEADLINE))?;
        let (client, connection) = connected.map_err(|error| self.explained(error))?;
        // It ends with the client, and its error is the error of the statement that waits.
        tokio::spawn(connection);
        Ok(client)
    }

    /// The error of a connection; of a refused certificate, with the servers.
    fn explained(&self, error: tokio_postgres::Error) -> Cause {
        let Some(refused) = refused_certificate(&error) else { return error.into() };
        let hosts = self.config.get_hosts().iter().filter_map(|host| match host {
            Host::Tcp(host) => Some(host.as_str()),
            Host::Unix(_) => None,
        });
        let ports = self.config.get_ports();
        let port = |number: usize| ports.get(number).or(ports.first()).unwrap_or(&DEFAULT_PORT);
        let servers: Vec<String> =
            hosts.enumerate().map(|(number, host)| format!("{host}:{}", port(number))).collect();
        let server = servers.join(", ");
        match &self.root_file {
            Some(file) => Cause::Tls(format!(
                "cannot trust {server}: {refused}; trusted certificates are those in {} (sslrootcert of the URL)",
                file.display()
            )),
            None => Cause::Untrusted { server, source: refused.clone() },
        }
    }

    /// The open connection, and true if it was open before.
    async fn client(&mut self) -> Result<(Client, bool), Cause> {
        match self.client.take() {
            Some(open) if !open.is_closed() => Ok((open, true)),
            _ => Ok((self.connect().await?, false)),
        }
    }
}

impl Writer {
    /// Connects, and brings the schema up to date.
    pub(crate) async fn open(
        server: Server,
        migrations: Migrations,
        tls: Arc<ClientConfig>,
        counts: Counts,
    ) -> Result<Self, StoreError> {
        let mut remote = Remote::new(server, migrations.owner, tls, counts);
        // The driver tries each host until one allows writes.
        remote.config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let mut client = remote.connect().await.map_err(StoreError::Open)?;
        let mut guard = remote.connect().await.map_err(StoreError::Open)?;
        migrate::postgres(&mut client, &mut guard, migrations).await?;
        remote.client = Some(client);
        Ok(Self(remote))
    }
}

/// The end of a transaction that was not committed.
enum Broken {
    /// The transaction was rolled back, and the connection is sound.
    RolledBack(StoreError),
    /// The connection is not used again; nothing was committed.
    Lost(StoreError),
    /// The connection was lost after COMMIT was sent.
    Unknown(StoreError),
}

impl Driver for Writer {
    const IS_REMOTE: bool = true;
    const GATHERING: Duration = Duration::ZERO;

    async fn run(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        loop {
            let refused = |cause| Failure::OfAll(StoreError::Refused(cause));
            let (client, was_open) = self.0.client().await.map_err(refused)?;
            let is_committing = Cell::new(false);
            let outcome = timeout(DEADLINE, transact(&client, jobs, &is_committing, &self.0.counts)).await;
            match outcome {
                Ok(Ok(())) => {
                    self.0.client = Some(client);
                    return Ok(());
                }
                Ok(Err(Broken::RolledBack(error))) => {
                    self.0.client = Some(client);
                    return Err(Failure::OfOne(error));
                }
                // A server that was restarted, or may not write since: a new connection finds the one that may.
                Ok(Err(Broken::Lost(_))) if was_open => {}
                Ok(Err(Broken::Lost(error) | Broken::Unknown(error))) => return Err(Failure::OfAll(error)),
                Err(_) if is_committing.get() => {
                    return Err(Failure::OfAll(StoreError::Unknown(Cause::Late(DEADLINE))));
                }
                Err(_) => return Err(Failure::Late(StoreError::Refused(Cause::Late(DEADLINE)))),
            }
        }
    }
}

/// Runs the jobs side by side on one connection: the statements of all of them travel together.
async fn transact(
    client: &Client,
    jobs: &mut [Box<dyn Job>],
    is_committing: &Cell<bool>,
    counts: &Counts,
) -> Result<(), Broken> {
    let begun = client.simple_query(BEGIN).await.map_err(|error| Broken::Lost(error.into()))?;
    let now = begun.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    let session = Session::new(Connection::Postgres(client), now.unwrap_or_else(clock), counts);
    let ran = try_join_all(jobs.iter_mut().map(|job| job.run(&session))).await;
    if let Err(error) = ran.map(drop).and_then(|()| session.outcome()) {
        let rolled_back = is_of_one(&error) && client.batch_execute("ROLLBACK").await.is_ok();
        return Err(if rolled_back { Broken::RolledBack(error) } else { Broken::Lost(error) });
    }
    is_committing.set(true);
    let committed = client.batch_execute("COMMIT").await;
    committed.map(|()| counts.commit()).map_err(|error| match StoreError::of_commit(error.into()) {
        error @ StoreError::Unknown(_) => Broken::Unknown(error),
        error if is_of_one(&error) => Broken::RolledBack(error),
        error => Broken::Lost(error),
    })
}

/// True for an error that another group on the same connection need not have.
fn is_of_one(error: &StoreError) -> bool {
    let StoreError::Refused(cause) = error else { return true };
    // Data, constraints, deadlocks, syntax, locks, a statement's time, and what follows in the same transaction.
    cause.sql_state().is_some_and(|state| {
        matches!(&state.code()[..2], "22" | "23" | "40" | "42" | "55" | "P0")
            || ["57014", "25P02"].contains(&state.code())
    })
}

impl Reader {
    pub(crate) fn new(server: Server, owner: &str, tls: Arc<ClientConfig>, counts: Counts) -> Self {
        Self(Remote::new(server, owner, tls, counts))
    }
}

impl Driver for Reader {
    const IS_REMOTE: bool = true;
    const GATHERING: Duration = Duration::ZERO;

    async fn run(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        let refused = |cause| Failure::OfAll(StoreError::Refused(cause));
        let (client, _) = self.0.client().await.map_err(refused)?;
        let session = Session::new(Connection::Postgres(&client), clock(), &self.0.counts);
        let all = join_all(jobs.iter_mut().map(async |job| {
            if let Err(error) = job.run(&session).await {
                job.fail(error);
            }
        }));
        // A connection that was late is not used again: the answers of before would still come.
        timeout(DEADLINE, all).await.map_err(|_| refused(Cause::Late(DEADLINE)))?;
        self.0.client = Some(client);
        Ok(())
    }
}
