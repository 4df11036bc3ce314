//! A TCP proxy that can cut, block, slow down and move its connections.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
};

use stacks::address;

/// The size of a buffer.
const PIECE: usize = 8 * 1024;

/// The state of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// All bytes pass at once.
    Open,
    /// Each buffer of bytes takes this long, in both directions.
    Slow(Duration),
    /// No byte passes, and the connections stay open.
    Blocked,
}

/// A proxy for TCP connections to one address at a time; it serves until the runtime ends.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    target: watch::Sender<SocketAddr>,
    line: watch::Sender<Line>,
    cuts: watch::Sender<u32>,
}

impl Proxy {
    /// Listens on a free port for connections to `target`.
    pub(crate) async fn start(target: SocketAddr) -> Result<Self> {
        let address = address::free()?;
        let listener = TcpListener::bind(address).await.context("the proxy cannot listen")?;
        let (target, targets) = watch::channel(target);
        let line = watch::Sender::new(Line::Open);
        let proxy = Self { address, target, line, cuts: watch::Sender::new(0) };
        let (line, cuts) = (proxy.line.subscribe(), proxy.cuts.subscribe());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let target = *targets.borrow();
                tokio::spawn(connect(near, target, line.clone(), cuts.clone()));
            }
        });
        Ok(proxy)
    }

    /// Changes the state for all connections, also for open ones.
    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// Resets all open connections, and leads new ones to another address.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.target.send_replace(target);
        self.cut();
    }

    /// Resets all open connections; new ones are accepted.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// Resets both ends at the end of the connection: AMQP does not use half-open ones.
async fn connect(
    mut near: TcpStream,
    target: SocketAddr,
    line: watch::Receiver<Line>,
    mut cuts: watch::Receiver<u32>,
) -> std::io::Result<()> {
    near.set_zero_linger()?;
    cuts.mark_unchanged();
    let mut far = TcpStream::connect(target).await?;
    far.set_zero_linger()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    // The halves of `into_split` would shut the connection down in place of the reset.
    let ((near_read, near_write), (far_read, far_write)) = (near.split(), far.split());
    tokio::select! {
        forth = pass(near_read, far_write, line.clone()) => forth,
        back = pass(far_read, near_write, line) => back,
        _ = cuts.changed() => Ok(()),
    }
}

async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut line: watch::Receiver<Line>,
) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await?;
        let now = line.wait_for(|line| *line != Line::Blocked).await.map(|line| *line);
        if let Ok(Line::Slow(delay)) = now {
            tokio::time::sleep(delay).await;
        }
        if length == 0 {
            return Ok(());
        }
        to.write_all(&piece[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    /// A proxy to an echo server, and a connection through it.
    async fn echo() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await
        });
        let proxy = Proxy::start(target).await.unwrap();
        let stream = TcpStream::connect(proxy.address).await.unwrap();
        (proxy, stream)
    }

    #[tokio::test]
    async fn blocked_bytes_pass_once_the_line_is_open() {
        let (proxy, mut stream) = echo().await;
        stream.write_all(b"a").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'a');
        proxy.set(Line::Blocked);
        stream.write_all(b"b").await.unwrap();
        let early = timeout(Duration::from_millis(100), stream.read_u8()).await;
        assert!(early.is_err(), "{early:?} passed a blocked line");
        proxy.set(Line::Open);
        assert_eq!(stream.read_u8().await.unwrap(), b'b');
    }

    #[tokio::test]
    async fn a_cut_is_a_reset() {
        let (proxy, mut stream) = echo().await;
        stream.write_all(b"a").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'a');
        proxy.cut();
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}
