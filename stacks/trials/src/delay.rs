//! A TCP proxy that adds a latency to each round trip, for a server that is not on this machine.

use std::{
    net::SocketAddr,
    sync::mpsc::{self, Sender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use stacks::address;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
    sync::mpsc::{UnboundedSender, unbounded_channel},
};

/// The size of a buffer.
const PIECE: usize = 64 * 1024;

/// Bytes on their way.
struct Parcel {
    due: Instant,
    bytes: Vec<u8>,
    to: UnboundedSender<Vec<u8>>,
}

/// Proxies connections to `target`, and delays all bytes to it by `delay`; returns the address of the proxy. It serves
/// until the runtime ends.
///
/// # Errors
/// When no port is free.
pub(crate) async fn proxy(target: SocketAddr, delay: Duration) -> Result<SocketAddr> {
    let address = address::free()?;
    let listener = TcpListener::bind(address).await.context("the proxy cannot listen")?;
    let parcels = carry();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(connect(near, target, delay, parcels.clone()));
        }
    });
    Ok(address)
}

/// Starts a thread that passes each parcel on when it is due: the timers of tokio count whole milliseconds. All parcels
/// have the same delay, so that they become due in the order in which they come.
#[expect(clippy::disallowed_methods, reason = "a thread of its own, without an arbiter")]
fn carry() -> Sender<Parcel> {
    let (sender, parcels) = mpsc::channel::<Parcel>();
    thread::spawn(move || {
        for Parcel { due, bytes, to } in parcels {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // A connection that has ended takes no more bytes.
            let _ = to.send(bytes);
        }
    });
    sender
}

async fn connect(
    near: TcpStream,
    target: SocketAddr,
    delay: Duration,
    parcels: Sender<Parcel>,
) -> std::io::Result<()> {
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_read, mut near_write), (mut far_read, mut far_write)) = (near.into_split(), far.into_split());
    let (to, mut due) = unbounded_channel::<Vec<u8>>();
    let forth = async {
        while let Some(bytes) = due.recv().await {
            far_write.write_all(&bytes).await?;
        }
        Ok(())
    };
    tokio::select! {
        read = read(near_read, delay, parcels, to) => read,
        forth = forth => forth,
        back = tokio::io::copy(&mut far_read, &mut near_write) => back.map(drop),
    }
}

async fn read(
    mut near: OwnedReadHalf,
    delay: Duration,
    parcels: Sender<Parcel>,
    to: UnboundedSender<Vec<u8>>,
) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = near.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        let parcel = Parcel { due: Instant::now() + delay, bytes: piece[..length].to_vec(), to: to.clone() };
        // The thread ends with the last sender, and this is one.
        let _ = parcels.send(parcel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_round_trip_takes_the_delay_and_pieces_overlap() {
        const DELAY: Duration = Duration::from_millis(50);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await
        });
        let mut stream = TcpStream::connect(proxy(target, DELAY).await.unwrap()).await.unwrap();
        let begun = Instant::now();
        for byte in 0..10 {
            stream.write_u8(byte).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        for byte in 0..10 {
            assert_eq!(stream.read_u8().await.unwrap(), byte);
        }
        assert!((DELAY..DELAY * 5).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }
}
