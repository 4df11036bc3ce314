//! Fakes and helpers that the tests of all crates share. It depends on no crate of this workspace.
//!
//! - [`smtp`]: a mail server that misbehaves on request and records what it accepted;
//! - [`otlp`]: a receiver of OTLP/HTTP that answers as a test says;
//! - [`rabbitmq`]: a virtual host per test on a real broker, and the management API;
//! - [`exposition`]: a strict parser of the Prometheus text format;
//! - [`event`]: a payment event as JSON, written by the contract alone;
//! - [`black_hole`]: an address at which connections wait for ever;
//! - [`growth`]: SQL that fills database files with settled orders;
//! - [`proxies`]: Envoy and Traefik, with the configurations of `examples/proxies`;
//! - [`wait`]: polling with a limit and a message.

pub mod black_hole;
pub mod event;
pub mod exposition;
pub mod growth;
pub mod otlp;
mod port;
pub mod proxies;
pub mod rabbitmq;
pub mod smtp;
pub mod wait;
