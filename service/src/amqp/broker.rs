//! A connection to the broker on which the topology stands.
//!
//! lapin drives its socket on the runtime that dialled. That runtime is one thread of its own here: on an
//! arbiter, a slow handler would hold up heartbeats and every publish with it. Nothing recovers by itself:
//! after an error a [`Link`] is dropped and another one dialled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use lapin::protocol::{AMQPErrorKind, AMQPHardError};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind, Event};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use super::definitions::{Definitions, declare};
use super::tls;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The longest frame that is asked for, in bytes. lapin has room for 64 of them for each connection, and an event needs
/// a tenth of one. A body is cut into as many as it takes, but headers are not: a stranger's may be longer, and then the
/// broker's own limit holds from the next link on.
const FRAME_MAX: u32 = 16 * 1024;
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// Why there is no link to the broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The URL is not one of AMQP. Neither it nor what lapin says is repeated here: both hold a password.
    #[error("AMQP_URL is not a URL such as amqp://user:password@localhost:5672/%2f")]
    Url,
    /// The topology is not a text of definitions.
    #[error("the AMQP topology can't be read")]
    Definitions(#[from] serde_json::Error),
    /// TLS is asked for, and it can't be spoken.
    #[error("AMQP_URL asks for TLS")]
    Tls(#[source] telemetry::Error),
    /// The thread for connections could not be started.
    #[error("can't start the thread for AMQP connections")]
    Runtime(#[source] std::io::Error),
    /// The broker did not answer in time.
    #[error("the broker did not answer within {}", CONNECT_DEADLINE.as_secs())]
    Deadline,
    /// The dialling task ended early: the process is stopping.
    #[error("dialling was interrupted")]
    Interrupted,
    /// The broker could not be reached, or refused.
    #[error("the broker can't be used")]
    Amqp(#[from] lapin::Error),
}

/// Where the broker is; dials as often as it is asked to.
pub struct Broker {
    uri: AMQPUri,
    definitions: Arc<Definitions>,
    /// Whether somebody has sent longer frames than we ask for.
    has_long_frames: Arc<AtomicBool>,
    /// Where the URL asks for it.
    tls: Option<Arc<ClientConfig>>,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

/// One connection with one channel, for one purpose: a blocked publisher must not hold up acks.
pub struct Link {
    connection: Connection,
    /// The channel; closed for good by its first error.
    pub channel: Channel,
    definitions: Arc<Definitions>,
}

impl Broker {
    /// Checks the URL, `amqp://…` or `amqps://…`, reads the topology, [`Definitions`] in JSON, and starts the thread;
    /// connects to nothing yet.
    ///
    /// # Errors
    /// When the URL is not one of AMQP, or there is no certificate to trust for TLS.
    pub fn new(url: &str, definitions: &str) -> Result<Self, BrokerError> {
        let uri: AMQPUri = url.parse().map_err(|_| BrokerError::Url)?;
        let definitions = Arc::new(serde_json::from_str(definitions)?);
        let tls = match uri.scheme {
            AMQPScheme::AMQP => None,
            AMQPScheme::AMQPS => Some(telemetry::tls::client_config().map_err(BrokerError::Tls)?),
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("amqp")
            .enable_all()
            .build()
            .map_err(BrokerError::Runtime)?;
        Ok(Self { uri, definitions, has_long_frames: Arc::default(), tls, runtime: Some(runtime) })
    }

    /// Whether `url` is one of AMQP.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(url: &str) -> Result<(), BrokerError> {
        url.parse::<AMQPUri>().map(|_| ()).map_err(|_| BrokerError::Url)
    }

    /// Dials, and declares the topology. `name` is what the broker's management page shows.
    ///
    /// # Errors
    /// When the broker can't be reached within ten seconds, or refuses.
    pub async fn connect(&self, name: &str) -> Result<Link, BrokerError> {
        let Some(runtime) = &self.runtime else { return Err(BrokerError::Interrupted) };
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let mut uri = self.uri.clone();
        if !self.has_long_frames.load(Ordering::Relaxed) {
            uri.query.frame_max.get_or_insert(FRAME_MAX);
        }
        let (definitions, long_frames) = (self.definitions.clone(), self.has_long_frames.clone());
        let mut dialled = runtime.spawn(dial(uri, properties, self.tls.clone(), definitions, long_frames));
        match timeout(CONNECT_DEADLINE, &mut dialled).await {
            Ok(Ok(link)) => Ok(link?),
            Ok(Err(_)) => Err(BrokerError::Interrupted),
            Err(_) => {
                dialled.abort();
                Err(BrokerError::Deadline)
            }
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for its tasks is not possible on an arbiter, and links have been closed by now.
            runtime.shutdown_background();
        }
    }
}

async fn dial(
    uri: AMQPUri,
    properties: ConnectionProperties,
    tls: Option<Arc<ClientConfig>>,
    definitions: Arc<Definitions>,
    has_long_frames: Arc<AtomicBool>,
) -> lapin::Result<Link> {
    let connection = match tls {
        Some(config) => tls::connect(uri, properties, config).await?,
        None => Connection::connect_uri(uri, properties).await?,
    };
    tokio::spawn(notice_long_frames(connection.events_listener(), has_long_frames));
    let channel = connection.create_channel().await?;
    declare(&channel, &definitions).await?;
    Ok(Link { connection, channel, definitions })
}

async fn notice_long_frames(mut events: impl Stream<Item = Event> + Unpin, noticed: Arc<AtomicBool>) {
    while let Some(event) = events.next().await {
        if let Event::Error(error) = event
            && let ErrorKind::ProtocolError(error) = error.kind()
            && *error.kind() == AMQPErrorKind::Hard(AMQPHardError::FRAMEERROR)
        {
            noticed.store(true, Ordering::Relaxed);
        }
    }
}

impl Link {
    /// Declares the topology again, where something of it may have been deleted.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn declare(&self) -> lapin::Result<()> {
        declare(&self.channel, &self.definitions).await
    }

    /// Whether connection and channel still stand, as far as is known.
    pub fn is_open(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }

    /// Says goodbye, but does not wait for ever: a blocked broker never answers.
    pub async fn close(self) {
        // Closed, refused and too late come to the same: the link is gone.
        let _ = timeout(CLOSE_DEADLINE, self.connection.close(200, "goodbye".into())).await;
    }
}
