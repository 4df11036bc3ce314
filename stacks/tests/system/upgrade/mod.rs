//! Upgrades: orders in flight in databases of an earlier version, and replicas of two versions on one database.

mod record;
mod recorded;
mod replicas;
