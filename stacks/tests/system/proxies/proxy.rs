//! Envoy and Traefik between clients and gateways.

use std::{fs::File, net::SocketAddr, process::Stdio};

use stacks::address;
use testkit::proxies::{self, Places};
use tokio::process::{Child, Command};

use crate::harness::{System, serving};

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Envoy,
    Traefik,
}

/// A proxy; it ends with its test.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    _child: Child,
}

impl Proxy {
    /// Starts a proxy before these gateways, and waits until it passes on a request.
    pub(super) async fn before(system: &System, kind: Kind, gateways: &[SocketAddr]) -> Self {
        Self::with(system, kind, gateways, &[]).await
    }

    /// With changes to its example configuration.
    pub(super) async fn with(
        system: &System,
        kind: Kind,
        gateways: &[SocketAddr],
        changes: &[(&str, &str)],
    ) -> Self {
        let listen = address::free().unwrap();
        let dir = system.dir().join(format!("{kind:?}-{}", listen.port()));
        std::fs::create_dir(&dir).unwrap();
        let places = Places { listen, gateways, otlp: system.stack.layout().traces.unwrap().otlp };
        let command = match kind {
            Kind::Envoy => proxies::envoy(&dir, &places, changes),
            Kind::Traefik => proxies::traefik(&dir, &places, changes),
        };
        let log = File::create(dir.join("log")).unwrap();
        let child = Command::from(command.unwrap())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        let proxy = Self { address: listen, _child: child.unwrap() };
        serving(listen).await;
        proxy
    }
}
