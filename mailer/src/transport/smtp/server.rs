//! A mail server and the idle connections to it.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::helo::Helo;
use super::resolver::Resolver;

/// Idle connections that are kept.
const MAX_IDLE: usize = 16;
const MAX_IDLE_TIME: Duration = Duration::from_secs(60);
/// For an address of the host while there is another one, up to its greeting.
const ADDRESS_DEADLINE: Duration = Duration::from_secs(5);
/// For the answer of an idle connection.
const TEST_DEADLINE: Duration = Duration::from_secs(1);

pub(super) struct Server {
    host: String,
    port: u16,
    resolver: Resolver,
    security: Security,
    hello: ClientId,
    credentials: Option<Credentials>,
    idle: Mutex<VecDeque<(AsyncSmtpConnection, Instant)>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The name of the host could not be resolved.
    #[error("cannot resolve its name: {0}")]
    Resolve(#[from] io::Error),
    /// The name has no address.
    #[error("its name has no address")]
    NoAddress,
    /// An address did not greet in time.
    #[error("no greeting from {0} in time")]
    Silent(SocketAddr),
    /// No connection, TLS or login.
    #[error(transparent)]
    Smtp(#[from] Error),
}

enum Security {
    None,
    Opportunistic(TlsParameters),
    Required(TlsParameters),
    Wrapper(TlsParameters),
}

impl Server {
    /// Reads a URL; see [`Smtp::new`](super::Smtp::new).
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it names no host")?.to_owned();
        let tls = || TlsParameters::new(host.clone()).map_err(|error| error.to_string());
        let wanted = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
        let (security, port) = match (url.scheme(), wanted.as_deref()) {
            ("smtp", None) => (Security::None, SMTP_PORT),
            ("smtp", Some("opportunistic")) => (Security::Opportunistic(tls()?), SUBMISSION_PORT),
            ("smtp", Some("required")) => (Security::Required(tls()?), SUBMISSION_PORT),
            ("smtps", None) => (Security::Wrapper(tls()?), SUBMISSIONS_PORT),
            _ => return Err("expected smtp:// or smtps://, and tls=required or tls=opportunistic".to_owned()),
        };
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let credentials =
            url.password().map(|password| Credentials::new(plain(url.username()), plain(password)));
        let is_protected = matches!(security, Security::Required(_) | Security::Wrapper(_));
        if credentials.is_some() && !is_protected && !is_loopback(&host) {
            return Err(
                "it would send the password unencrypted; add ?tls=required, or use smtps://".to_owned()
            );
        }
        let name = url.path().trim_matches('/');
        let hello = if name.is_empty() { ClientId::default() } else { ClientId::Domain(name.to_owned()) };
        let port = url.port().unwrap_or(port);
        let resolver = Resolver::new(&host, port);
        Ok(Self { host, port, resolver, security, hello, credentials, idle: Mutex::default() })
    }

    /// Host and port.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// An idle connection that the server has not closed.
    pub(super) async fn idle_connection(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let (mut connection, since) = self.take_idle()?;
            let is_fresh = since.elapsed() < MAX_IDLE_TIME;
            // A connection that does not answer at once is dropped: an answer may still be on its way.
            if is_fresh && timeout(TEST_DEADLINE, connection.test_connected()).await == Ok(true) {
                return Some(connection);
            }
        }
    }

    /// A new connection to the first address of the host that greets, in the order of the resolver (RFC 5321 section 5.1).
    pub(super) async fn connect(&self) -> Result<AsyncSmtpConnection, ConnectError> {
        self.connect_to_any(self.resolver.addresses().await?.into_iter()).await
    }

    async fn connect_to_any(
        &self,
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Result<AsyncSmtpConnection, ConnectError> {
        let mut addresses = addresses.peekable();
        let mut failure = ConnectError::NoAddress;
        while let Some(address) = addresses.next() {
            // The last address has the caller's deadline.
            let limit = if addresses.peek().is_some() { ADDRESS_DEADLINE } else { Duration::MAX };
            failure = match timeout(limit, self.connect_to(address)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error.into(),
                Err(_) => ConnectError::Silent(address),
            };
        }
        Err(failure)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<AsyncSmtpConnection, Error> {
        let wrapper = match &self.security {
            Security::Wrapper(tls) => Some(tls.clone()),
            _ => None,
        };
        let connected = AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, wrapper, None).await;
        let mut connection = match connected {
            Err(error) if is_unknown_command(&error) && self.needs_no_extension() => {
                return self.connect_with_helo(address, error).await;
            }
            connected => connected?,
        };
        match &self.security {
            Security::Required(tls) => connection.starttls(tls.clone(), &self.hello).await?,
            Security::Opportunistic(tls) if connection.can_starttls() => {
                connection.starttls(tls.clone(), &self.hello).await?;
            }
            _ => {}
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    /// STARTTLS and AUTH are extensions: HELO offers none.
    fn needs_no_extension(&self) -> bool {
        self.credentials.is_none() && matches!(self.security, Security::None | Security::Opportunistic(_))
    }

    /// A session with a server that refused EHLO with `refusal` (RFC 5321 section 3.2).
    async fn connect_with_helo(
        &self,
        address: SocketAddr,
        refusal: Error,
    ) -> Result<AsyncSmtpConnection, Error> {
        let Ok(stream) = TcpStream::connect(address).await else { return Err(refusal) };
        AsyncSmtpConnection::connect_with_transport(Box::new(Helo::new(stream)), &self.hello).await
    }

    /// A function of its own, so that the lock is released before anything is awaited.
    fn take_idle(&self) -> Option<(AsyncSmtpConnection, Instant)> {
        self.idle().pop_back()
    }

    /// Keeps a connection for the next e-mail.
    pub(super) fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle();
        idle.push_back((connection, Instant::now()));
        if idle.len() > MAX_IDLE {
            idle.pop_front();
        }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(AsyncSmtpConnection, Instant)>> {
        // A panic can't leave a list of connections half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True for this machine by its name or by an address, IPv6 in brackets.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// True if the session is over: 421, or no reply.
pub(super) fn is_lost(error: &Error) -> bool {
    error.status().is_none_or(|code| u16::from(code) == 421)
}

/// True for 500 and 502: the server does not know the command.
fn is_unknown_command(error: &Error) -> bool {
    error.status().is_some_and(|code| matches!(u16::from(code), 500 | 502))
}

#[cfg(test)]
mod tests {
    use testkit::smtp::SmtpServer;
    use tokio::net::TcpListener;

    use super::*;

    #[actix_rt::test]
    async fn an_address_that_does_not_greet_is_not_the_last() {
        // The kernel accepts the connection, and no process greets.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let good = SmtpServer::start().await.unwrap();
        let addresses = [refusing, silent.local_addr().unwrap(), good.address()];
        let begun = Instant::now();
        let server = Server::parse("smtp://localhost").unwrap();
        assert!(server.connect_to_any(addresses.into_iter()).await.is_ok());
        assert!(begun.elapsed() < 2 * ADDRESS_DEADLINE);
    }
}
