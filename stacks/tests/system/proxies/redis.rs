//! A redis-server without data on disk.

use std::process::{Child, Command, Stdio};

use stacks::address;
use testkit::wait::eventually;

use crate::harness::Authority;

/// A server; it ends with its test.
pub(super) struct Redis {
    port: u16,
    /// The arguments that name certificate and key, for TLS alone.
    tls: Vec<String>,
    server: Option<Child>,
}

impl Redis {
    pub(super) async fn start() -> Self {
        Self::with(Vec::new()).await
    }

    /// With a certificate of this authority.
    pub(super) async fn over_tls(authority: &Authority) -> Self {
        let (certificate, key) = authority.certificate("127.0.0.1");
        let tls = [("cert", certificate), ("key", key), ("ca-cert", authority.file())];
        let mut tls: Vec<String> =
            tls.into_iter().flat_map(|(name, file)| [format!("--tls-{name}-file"), file]).collect();
        tls.extend(["--tls-auth-clients", "no"].map(str::to_owned));
        Self::with(tls).await
    }

    async fn with(tls: Vec<String>) -> Self {
        let mut redis = Self { port: address::free().unwrap().port(), tls, server: None };
        redis.restart().await;
        redis
    }

    pub(super) fn url(&self) -> String {
        let scheme = if self.tls.is_empty() { "redis" } else { "rediss" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    pub(super) async fn restart(&mut self) {
        let port = self.port.to_string();
        let ports = if self.tls.is_empty() {
            ["--tls-port", "0", "--port", &port]
        } else {
            ["--port", "0", "--tls-port", &port]
        };
        let mut server = Command::new("redis-server");
        server.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]).args(ports).args(&self.tls);
        let server = server.stdout(Stdio::null()).spawn();
        self.server = Some(server.expect("redis-server does not start; run `make test`, which installs it"));
        eventually("an answer of redis-server", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.map(drop)
        })
        .await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
