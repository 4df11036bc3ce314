//! A proxy before a PostgreSQL server that misbehaves on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// What the proxy does with new bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Forwards them after a delay.
    Forward(Duration),
    /// Keeps them, as a host does that was lost without a reset.
    Hang,
    /// Answers COMMIT with a connection error of its own, as a proxy does that lost its server.
    LoseCommit,
}

pub(crate) struct Proxy {
    pub(crate) url: String,
    mode: watch::Sender<Mode>,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// A proxy before the server of this URL; the new URL leads through it.
    pub(crate) async fn before(url: &str) -> Self {
        let (credentials, rest) = url.rsplit_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{credentials}@{}/{database}", listener.local_addr().unwrap());
        let (mode, modes) = watch::channel(Mode::Forward(Duration::ZERO));
        let connections = Arc::<AtomicUsize>::default();
        let (server, count) = (server.to_owned(), connections.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(&server).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(requests(from_client, to_server, to_client, from_server, modes.clone()));
            }
        });
        Self { url, mode, connections }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn requests(
    mut from_client: OwnedReadHalf,
    mut to_server: OwnedWriteHalf,
    mut to_client: OwnedWriteHalf,
    mut from_server: OwnedReadHalf,
    mut modes: watch::Receiver<Mode>,
) {
    let (mut request, mut answer) = ([0; 64 * 1024], [0; 64 * 1024]);
    loop {
        let (read, is_request) = tokio::select! {
            read = from_client.read(&mut request) => (read.unwrap_or(0), true),
            read = from_server.read(&mut answer) => (read.unwrap_or(0), false),
        };
        if read == 0 {
            return;
        }
        let bytes = if is_request { &request[..read] } else { &answer[..read] };
        let mode = *modes.borrow_and_update();
        match mode {
            Mode::Hang => modes.wait_for(|mode| *mode != Mode::Hang).await.map(drop).unwrap_or(()),
            // A round trip has two ways, and only one is delayed.
            Mode::Forward(delay) if is_request && !delay.is_zero() => sleep(delay).await,
            Mode::LoseCommit if is_request && bytes.windows(6).any(|part| part == b"COMMIT") => {
                let said = b"SFATAL\0VFATAL\0C08P01\0Mserver conn crashed?\0\0";
                let length = u32::try_from(said.len() + 4).unwrap().to_be_bytes();
                to_client.write_all(&[b"E", &length[..], said].concat()).await.unwrap();
                return;
            }
            _ => {}
        }
        let sent =
            if is_request { to_server.write_all(bytes).await } else { to_client.write_all(bytes).await };
        if sent.is_err() {
            return;
        }
    }
}
