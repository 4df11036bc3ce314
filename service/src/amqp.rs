//! Connections to an AMQP broker.

mod broker;
mod definitions;
mod redrive;
mod tls;

pub use broker::{Broker, BrokerError, Link};
pub use redrive::{RedriveError, redrive};
