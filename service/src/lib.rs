//! The parts that all services have in common.
//!
//! [`lifecycle`] reads settings and waits for signals, [`http`] serves routes, [`problem`] answers errors, [`token`] admits
//! callers, and [`json`] reads their bodies. [`amqp`], with the feature of that name, keeps a connection to a broker.
//! [`simulation`] makes a service slow or faulty on request, and [`crash`] ends it in fault tests.
//! [`Backoff`] is the pause between failed attempts.

#[cfg(feature = "amqp")]
pub mod amqp;
mod backoff;
pub mod crash;
pub mod http;
pub mod json;
pub mod lifecycle;
pub mod problem;
pub mod simulation;
pub mod token;

pub use backoff::Backoff;
