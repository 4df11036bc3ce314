//! The schema: brought up to date by refinery, which also knows what earlier versions have done.

use refinery::{Migration, Runner, Target};
use rusqlite::{Connection, OptionalExtension};
use tokio_postgres::Client;

use crate::StoreError;

/// The steps to the newest schema, in order; a released step is never changed.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// The service: services may share one PostgreSQL database, and each counts its own steps.
    pub owner: &'static str,
    /// Name (letters, digits, underscores) and SQL of each step for SQLite.
    pub sqlite: &'static [(&'static str, &'static str)],
    /// The same for PostgreSQL.
    pub postgres: &'static [(&'static str, &'static str)],
}

/// Serializes the migrations of replicas that start together.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext($1))";

pub(crate) fn sqlite(connection: &mut Connection, migrations: Migrations) -> Result<(), StoreError> {
    let runner = runner(migrations.owner, migrations.sqlite)?;
    let cannot_read = |error: rusqlite::Error| StoreError::Open(error.into());
    let exists = |name| {
        let found = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
        connection.query_row(found, [name], |_| Ok(())).optional().map_err(cannot_read)
    };
    // Up to version 0.1, sqlx did this.
    if exists("_sqlx_migrations")?.is_some() && exists(&table(migrations.owner))?.is_none() {
        let done = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success";
        let done: i32 = connection.query_row(done, [], |row| row.get(0)).map_err(cannot_read)?;
        self::runner(migrations.owner, migrations.sqlite)?
            .set_target(Target::FakeVersion(done))
            .run(connection)?;
    }
    runner.run(connection)?;
    Ok(())
}

/// `guard` is a connection of its own: its transaction holds the lock, also behind a proxy that lends a session for one
/// transaction at a time.
pub(crate) async fn postgres(
    client: &mut Client,
    guard: &mut Client,
    migrations: Migrations,
) -> Result<(), StoreError> {
    let cannot_read = |error: tokio_postgres::Error| StoreError::Open(error.into());
    let held = guard.transaction().await.map_err(cannot_read)?;
    let kind = tokio_postgres::types::Type::TEXT;
    let name = table(migrations.owner);
    held.query_typed(LOCK, &[(&name, kind.clone())]).await.map_err(cannot_read)?;
    let exists = "SELECT to_regclass($1) IS NOT NULL";
    // Up to version 0.1, sqlx did this.
    let earlier = format!("{}_migrations", migrations.owner);
    let mut found = [false; 2];
    for (found, name) in found.iter_mut().zip([&earlier, &name]) {
        let row = held.query_typed_one(exists, &[(name, kind.clone())]).await.map_err(cannot_read)?;
        *found = row.get(0);
    }
    if found == [true, false] {
        let done = format!("SELECT coalesce(max(version), 0)::INT FROM {earlier} WHERE success");
        let done: i32 = held.query_typed_one(&done, &[]).await.map_err(cannot_read)?.get(0);
        runner(migrations.owner, migrations.postgres)?
            .set_target(Target::FakeVersion(done))
            .run_async(client)
            .await?;
    }
    runner(migrations.owner, migrations.postgres)?.run_async(client).await?;
    held.commit().await.map_err(cannot_read)
}

fn table(owner: &str) -> String {
    format!("{owner}_schema_history")
}

fn runner(owner: &str, steps: &[(&str, &str)]) -> Result<Runner, StoreError> {
    let steps = (1..)
        .zip(steps)
        .map(|(version, (name, sql))| Migration::unapplied(&format!("V{version}__{name}"), sql));
    let steps: Vec<Migration> = steps.collect::<Result<_, _>>()?;
    let mut runner = Runner::new(&steps);
    runner.set_migration_table_name(table(owner));
    Ok(runner)
}
