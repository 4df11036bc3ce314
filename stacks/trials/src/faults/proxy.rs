//! A line between two programs that can be cut, blocked and slowed down.

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

/// What goes through at once.
const PIECE: usize = 8 * 1024;

/// How the line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Everything passes.
    Good,
    /// Every piece takes this long, in both directions.
    Slow(Duration),
    /// Nothing passes, and nobody is told.
    Blocked,
}

/// A proxy for TCP connections to one address; it serves until the runtime ends.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    line: watch::Sender<Line>,
    cuts: watch::Sender<u32>,
}

impl Proxy {
    /// Listens on a free port for connections to `target`.
    pub(crate) async fn start(target: SocketAddr) -> Result<Self> {
        let address = address::free()?;
        let listener = TcpListener::bind(address).await.context("the fault proxy can't listen")?;
        let proxy = Self { address, line: watch::Sender::new(Line::Good), cuts: watch::Sender::new(0) };
        let (line, cuts) = (proxy.line.subscribe(), proxy.cuts.subscribe());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connect(near, target, line.clone(), cuts.clone()));
            }
        });
        Ok(proxy)
    }

    /// From now on the line is like this, also for connections that stand.
    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// Resets every connection that stands; new ones are welcome.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// Both ends are reset, whatever ends the connection: half of a connection is of no use to anybody here.
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
    // Not `into_split`: its halves would say goodbye in place of the reset.
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

    /// A proxy to somebody who says everything back, and a connection through it.
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
    async fn what_is_blocked_passes_when_the_line_is_good_again() {
        let (proxy, mut stream) = echo().await;
        stream.write_all(b"a").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'a');
        proxy.set(Line::Blocked);
        stream.write_all(b"b").await.unwrap();
        let early = timeout(Duration::from_millis(100), stream.read_u8()).await;
        assert!(early.is_err(), "{early:?} passed a blocked line");
        proxy.set(Line::Good);
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
