//! A mail server and the idle connections to it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;
use url::Url;

/// Idle connections that are kept.
const MAX_IDLE: usize = 16;
const MAX_IDLE_TIME: Duration = Duration::from_secs(60);
/// For the answer of an idle connection.
const TEST_DEADLINE: Duration = Duration::from_secs(1);

pub(super) struct Server {
    host: String,
    port: u16,
    security: Security,
    hello: ClientId,
    credentials: Option<Credentials>,
    idle: Mutex<VecDeque<(AsyncSmtpConnection, Instant)>>,
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
        let name = url.path().trim_matches('/');
        let hello = if name.is_empty() { ClientId::default() } else { ClientId::Domain(name.to_owned()) };
        let port = url.port().unwrap_or(port);
        Ok(Self { host, port, security, hello, credentials, idle: Mutex::default() })
    }

    /// An idle connection, or a new one.
    pub(super) async fn connection(&self) -> Result<AsyncSmtpConnection, Error> {
        while let Some((mut connection, since)) = self.take_idle() {
            let is_fresh = since.elapsed() < MAX_IDLE_TIME;
            // A connection that does not answer at once is dropped: an answer may still be on its way.
            if is_fresh && timeout(TEST_DEADLINE, connection.test_connected()).await == Ok(true) {
                return Ok(connection);
            }
        }
        let address = (self.host.trim_matches(['[', ']']), self.port);
        let wrapper = match &self.security {
            Security::Wrapper(tls) => Some(tls.clone()),
            _ => None,
        };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, wrapper, None).await?;
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
