//! The HTTP server of a service: one way to wrap, serve and stop an app, and the routes of operations.

mod admission;
mod body;
mod connections;
mod files;
mod guard;
mod healthcheck;
mod log_level;
mod open_spans;
mod probes;
mod routes;
mod serve;

pub use admission::Admission;
pub use body::{Beginning, read_beginning, read_json};
pub use healthcheck::healthcheck;
pub use probes::{Check, Probes};
pub use routes::{get, resource};
pub use serve::{KEEP_ALIVE, Server, serve};

#[cfg(test)]
mod tests;
