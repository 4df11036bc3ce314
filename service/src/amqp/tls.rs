//! TLS beneath AMQP. The TLS of lapin needs forty crates for key stores that we do not use, and without it lapin would
//! send plain text to the port of an `amqps://` URL.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_compat::{Compat, CompatExt};
use async_rs::traits::Reactor;
use async_rs::{Runtime, Tokio, util::RuntimeParts};
use futures_util::{AsyncRead, AsyncWrite, Stream};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Connects with TLS, and checks that the certificate is for the host of the URL.
pub(crate) async fn connect(
    uri: AMQPUri,
    properties: ConnectionProperties,
    config: Arc<ClientConfig>,
) -> lapin::Result<Connection> {
    let host = uri.authority.host.trim_matches(['[', ']']).to_owned();
    let host = ServerName::try_from(host).map_err(io::Error::other)?;
    let tokio = Tokio::current();
    let tls = Tls { tokio: tokio.clone(), connector: config.into(), host };
    // For lapin the stream is an ordinary one.
    let uri = AMQPUri { scheme: AMQPScheme::AMQP, ..uri };
    let runtime = Runtime::new(RuntimeParts::new(tokio, tls));
    Connection::connect_uri_with_runtime(uri, properties, runtime).await
}

/// The runtime of tokio, with streams that are encrypted.
#[derive(Clone)]
struct Tls {
    tokio: Tokio,
    connector: TlsConnector,
    host: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Reactor for Tls {
    type TcpStream = Compat<TlsStream<TcpStream>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.tokio.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.tokio.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let (connector, host) = (self.connector.clone(), self.host.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(connector.connect(host, stream).await?.compat())
        }
    }
}
