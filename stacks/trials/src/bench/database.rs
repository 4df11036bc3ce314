//! The database that payment and mailer use in a trial.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use stacks::settings::Settings;
use uuid::Uuid;

use crate::{delay, lent::Postgres};

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A file for each service
    Sqlite,
    /// A PostgreSQL server
    Postgres,
}

impl Kind {
    /// Its name for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// The document of its results, without an extension.
    pub(super) fn document(self) -> &'static str {
        match self {
            Self::Sqlite => "bench",
            Self::Postgres => "bench-postgres",
        }
    }
}

/// The databases of all trials.
pub(super) enum Database {
    /// Files in the directory of each trial.
    Sqlite,
    /// A server, and the address to connect to.
    Postgres(Postgres, SocketAddr),
}

impl Database {
    /// Starts the server if there is one, and a proxy before it that delays each round trip.
    pub(super) async fn start(kind: Kind, delay: Duration) -> Result<Self> {
        if kind == Kind::Sqlite {
            return Ok(Self::Sqlite);
        }
        let server = Postgres::durable().await?;
        let address = match delay {
            Duration::ZERO => server.address(),
            delay => delay::proxy(server.address(), delay).await?,
        };
        Ok(Self::Postgres(server, address))
    }

    /// Adds the settings of a trial that begins with new databases.
    pub(super) fn set(&self, settings: &mut Settings) -> Result<()> {
        for service in ["payment", "mailer"] {
            let url = match self {
                Self::Sqlite => format!("sqlite://var/{service}.db"),
                Self::Postgres(server, address) => {
                    let name = format!("{service}_{}", Uuid::new_v4().simple());
                    server.create_database(&name)?;
                    server.url(*address, &name)
                }
            };
            settings.insert(format!("{}_DATABASE_URL", service.to_uppercase()), url);
        }
        Ok(())
    }
}
