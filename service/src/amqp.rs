//! Connections to an AMQP broker.
//!
//! [`Broker`] knows where the broker is and declares the topology on each [`Link`] to it. [`Connection`] keeps one link up
//! for as long as a service runs. [`redrive`] moves a message from one queue to another.

mod broker;
mod connection;
mod definitions;
mod link;
mod redrive;
mod tls;

pub use broker::{Broker, BrokerError};
pub use connection::Connection;
pub use definitions::DeclareError;
pub use link::Link;
pub use redrive::{RedriveError, redrive};
