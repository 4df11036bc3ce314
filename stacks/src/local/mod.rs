//! The local stack, without Docker: a private RabbitMQ node, the embedded trace backend, Prometheus and Alertmanager where
//! they are installed, on request Redis, and the three services, all as ordinary processes.
//!
//! [`LocalStack`] decides what to start and stop, `launcher` knows how each process is started and asked for its
//! readiness, [`layout`] where each listens, and [`state`] remembers both between two commands.

mod addresses;
mod check;
mod installed;
mod launcher;
pub mod layout;
mod monitoring;
pub mod pace;
pub mod rabbitmq;
mod redis;
mod stack;
pub mod state;

pub(crate) use self::stack::short_hash;
pub use self::stack::{Health, LocalStack};
