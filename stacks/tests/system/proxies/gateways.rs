//! Further gateways of a system.

use std::net::SocketAddr;

use stacks::{address, local::layout::Component, secrets};

use crate::harness::{Program, System, serving};

/// Another gateway for the payment of a system.
pub(super) async fn gateway(system: &System, settings: &[(&str, &str)]) -> (SocketAddr, Program) {
    let listen = address::free().unwrap();
    let mut all = secrets::read(&system.dir().join(".env")).unwrap();
    for (key, value) in [
        ("GATEWAY_LISTEN", &*listen.to_string()),
        ("PAYMENT_URL", &*system.url(Component::Payment)),
        ("LOG_DIR", ""),
        // Nothing reads the pipe until the program has ended.
        ("LOG_STDOUT", "false"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ]
    .into_iter()
    .chain(settings.iter().copied())
    {
        all.insert(key.to_owned(), value.to_owned());
    }
    let all: Vec<(&str, &str)> = all.iter().map(|(key, value)| (&**key, &**value)).collect();
    let program = Program::start("gateway", &[], system.dir(), &all);
    serving(listen).await;
    (listen, program)
}
