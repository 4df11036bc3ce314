//! Where payment and mailer keep their state: in files, except for faults of something else.

use std::path::Path;

use anyhow::Result;
use stacks::local::layout::Component;

use super::{disk::SmallDisk, fault::Fault};
use crate::lent::{Postgres, Server as _};

/// The databases of payment and mailer.
pub(crate) enum Databases {
    /// SQLite files in `var`.
    Files,
    /// New SQLite files on a small disk.
    SmallDisk(SmallDisk),
    /// New databases on a PostgreSQL server of this run.
    Server(Postgres),
}

impl Databases {
    /// The databases that a fault needs, in a stack with this root directory.
    ///
    /// # Errors
    /// When the disk cannot be mounted, or the server does not start.
    pub(crate) async fn of(fault: &Fault, root: &Path) -> Result<Self> {
        Ok(match fault {
            Fault::DiskFull | Fault::DiskHangs => Self::SmallDisk(SmallDisk::mount(root.join("var/small"))?),
            Fault::StoppedInTransaction
            | Fault::KilledWithLeases
            | Fault::PostgresKilled
            | Fault::ReadOnly
            | Fault::NoSessions => {
                let server = Postgres::start().await?;
                for service in [Component::Payment, Component::Mailer] {
                    server.create_database(service.name())?;
                }
                Self::Server(server)
            }
            _ => Self::Files,
        })
    }

    /// The URL of the database of a service.
    pub(crate) fn url(&self, service: Component) -> String {
        match self {
            Self::Files => format!("sqlite://var/{service}.db"),
            Self::SmallDisk(_) => format!("sqlite://var/small/{service}.db"),
            Self::Server(server) => server.url(server.address(), service.name()),
        }
    }
}
