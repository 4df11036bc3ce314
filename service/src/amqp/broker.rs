//! Where the broker is, and one attempt to connect to it and to declare the topology.
//!
//! lapin drives its socket on the runtime that connected. That runtime is one thread of its own here: on an
//! arbiter, a slow handler would hold up heartbeats and every publish with it.

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use lapin::protocol::{AMQPErrorKind, AMQPHardError};
use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, ErrorKind, Event};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use super::definitions::{DeclareError, Definitions};
use super::link::{Link, Topology};
use super::tls;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The longest frame that is asked for, in bytes. lapin has room for 64 of them for each connection, and an event needs
/// a tenth of one. A body is cut into as many frames as it takes, but headers are not: those of another program may be
/// longer, and then the broker's own limit holds from the next link on.
const MAX_FRAME: u32 = 16 * 1024;

/// Why there is no link to the broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The URL is not one of AMQP. The text repeats neither it nor the error of lapin: both have a password in them.
    #[error("AMQP_URL is not a URL such as amqp://user:password@localhost:5672/%2f")]
    Url,
    /// The topology is not valid JSON of definitions.
    #[error("the AMQP topology can't be read")]
    Definitions(#[from] serde_json::Error),
    /// TLS is asked for, and can't be set up.
    #[error("AMQP_URL asks for TLS")]
    Tls(#[source] telemetry::Error),
    /// The thread for connections could not be started.
    #[error("cannot start the thread for AMQP connections")]
    Runtime(#[source] std::io::Error),
    /// The broker did not answer in time.
    #[error("the broker did not answer within {} s", .0.as_secs())]
    Deadline(Duration),
    /// The task that connects ended early: the process is stopping.
    #[error("connecting was interrupted")]
    Interrupted,
    /// The broker could not be reached, or refused the connection.
    #[error("cannot connect to the broker {server}")]
    Unreachable {
        /// Host and port.
        server: String,
        /// What lapin said.
        source: lapin::Error,
    },
    /// A queue or an exchange exists with other properties.
    #[error(transparent)]
    Declare(DeclareError),
    /// The broker refused, or was lost.
    #[error("the broker can't be used")]
    Amqp(#[from] lapin::Error),
}

/// Where the broker is.
pub struct Broker {
    uri: AMQPUri,
    definitions: Arc<Definitions>,
    /// Whether longer frames have arrived than we ask for.
    has_long_frames: Arc<AtomicBool>,
    /// Where the URL asks for it.
    tls: Option<Arc<ClientConfig>>,
    /// Never shut down: a broker lives as long as its process, and lapin's own thread panics when a task of a connection
    /// is cancelled that is being made while a service that cannot start ends.
    runtime: ManuallyDrop<Runtime>,
}

impl Broker {
    /// Parses the URL, `amqp://…` or `amqps://…`, and the topology, RabbitMQ's definitions in JSON, and starts the thread;
    /// connects to nothing yet.
    ///
    /// # Errors
    /// When the URL or the topology is not valid, or no certificate is trusted for TLS.
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
        let runtime = ManuallyDrop::new(runtime);
        Ok(Self { uri, definitions, has_long_frames: Arc::default(), tls, runtime })
    }

    /// Whether `url` is one of AMQP.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(url: &str) -> Result<(), BrokerError> {
        url.parse::<AMQPUri>().map(|_| ()).map_err(|_| BrokerError::Url)
    }

    fn server(&self) -> String {
        let AMQPAuthority { host, port, .. } = &self.uri.authority;
        format!("{host}:{port}")
    }

    /// Connects, and declares the topology. `name` is what the broker's management page shows.
    ///
    /// # Errors
    /// When the broker can't be reached within ten seconds, or refuses; [`BrokerError::Declare`] where the topology differs.
    pub async fn connect(&self, name: &str) -> Result<Link, BrokerError> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let mut uri = self.uri.clone();
        if !self.has_long_frames.load(Ordering::Relaxed) {
            uri.query.frame_max.get_or_insert(MAX_FRAME);
        }
        let (definitions, long_frames) = (self.definitions.clone(), self.has_long_frames.clone());
        let mut connecting =
            self.runtime.spawn(connect(uri, properties, self.tls.clone(), definitions, long_frames));
        match timeout(CONNECT_DEADLINE, &mut connecting).await {
            Ok(Ok(link)) => link.map_err(|error| match error {
                DeclareError::Amqp(source) => BrokerError::Unreachable { server: self.server(), source },
                mismatch => BrokerError::Declare(mismatch),
            }),
            Ok(Err(_)) => Err(BrokerError::Interrupted),
            Err(_) => {
                connecting.abort();
                Err(BrokerError::Deadline(CONNECT_DEADLINE))
            }
        }
    }
}

async fn connect(
    uri: AMQPUri,
    properties: ConnectionProperties,
    tls: Option<Arc<ClientConfig>>,
    definitions: Arc<Definitions>,
    has_long_frames: Arc<AtomicBool>,
) -> Result<Link, DeclareError> {
    let vhost = uri.vhost.clone();
    let connection = match tls {
        Some(config) => tls::connect(uri, properties, config).await?,
        None => Connection::connect_uri(uri, properties).await?,
    };
    tokio::spawn(notice_long_frames(connection.events_listener(), has_long_frames));
    let outdated = definitions.declare(&connection, &vhost).await?;
    let channel = connection.create_channel().await?;
    Ok(Link::new(connection, channel, Topology { definitions, vhost, outdated: Mutex::new(outdated) }))
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
