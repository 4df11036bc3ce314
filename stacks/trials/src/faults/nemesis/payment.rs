//! A proxy before payment that loses its answers.

use std::net::SocketAddr;

use anyhow::Result;
use stacks::{address::url, local::layout::Component::Gateway};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{faults::scene::Scene, proxy::Proxy};

const BAD_GATEWAY: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Payment gets each request, and the gateway a 502 of the proxy between them.
pub(super) async fn lose_answers(scene: &mut Scene<'_>) -> Result<()> {
    let payment = scene.system.stack.layout().payment;
    let front = Proxy::start(payment).await?;
    scene.system.restart_with(Gateway, &[("PAYMENT_URL", Some(&url(front.address)))]).await?;
    scene.wait(300..600).await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let losing = listener.local_addr()?;
    let mut proxy = JoinSet::new();
    proxy.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client or a payment that is gone has no answer to lose.
            tokio::spawn(lose(stream, payment));
        }
    });
    front.lead_to(losing);
    scene.wait(1500..2500).await;
    front.lead_to(payment);
    scene.wait(300..600).await;
    scene.system.restart_with(Gateway, &[("PAYMENT_URL", None)]).await
}

/// Passes one request on, waits for the begin of the answer, and answers 502.
async fn lose(mut near: TcpStream, payment: SocketAddr) -> std::io::Result<()> {
    let mut far = TcpStream::connect(payment).await?;
    let mut piece = [0; 8 * 1024];
    let mut answer = [0; 1];
    loop {
        tokio::select! {
            read = near.read(&mut piece) => match read? {
                0 => return Ok(()),
                length => far.write_all(&piece[..length]).await?,
            },
            _ = far.read(&mut answer) => return near.write_all(BAD_GATEWAY).await,
        }
    }
}
