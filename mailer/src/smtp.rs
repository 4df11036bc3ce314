//! A mail server, spoken to step by step: whoever loses the line must know whether the e-mail may have arrived.
//!
//! lettre's own pool can't tell, and it puts a connection back whose future was dropped in mid-transaction:
//! the next e-mail would read the answers of the one before.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lettre::Message;
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::{Error, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;
use url::Url;

use crate::transport::NotMarked;

/// To reach the server: TCP, TLS, greeting, login.
const REACH: Duration = Duration::from_secs(30);
/// For the envelope, up to the permission to send the content.
const OFFER: Duration = Duration::from_secs(20);
/// For the answer to the content. To give up here is to make an e-mail uncertain.
const ANSWER: Duration = Duration::from_secs(60);
/// For what only spares the next e-mail a connection.
const COURTESY: Duration = Duration::from_secs(1);
/// Together; a lease has to last longer.
pub const LONGEST: Duration = REACH.saturating_add(OFFER).saturating_add(ANSWER).saturating_add(COURTESY);

const MOST_IDLE: usize = 16;
const LONGEST_IDLE: Duration = Duration::from_secs(60);
/// Of a server's text, which has no bound of its own that a log line would want.
const LONGEST_TEXT: usize = 300;

/// Why an e-mail did not get the server's 250.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// There was no transaction at all: nothing is said about this e-mail.
    #[error("the mail server can't be used: {0}")]
    Unreachable(String),
    /// A reply of 4xx.
    #[error("the mail server does not take the e-mail now: {0}")]
    Deferred(String),
    /// A reply of 5xx.
    #[error("the mail server refused the e-mail: {0}")]
    Refused(String),
    /// The line was lost before the content was sent.
    #[error("the mail server was lost before it had the e-mail: {0}")]
    Interrupted(String),
    /// The line was lost after that.
    #[error("nobody knows whether the mail server has taken the e-mail: {0}")]
    Uncertain(String),
    /// It could not be noted that the content is about to be sent, and so it was not.
    #[error("the e-mail was not sent")]
    Unmarked(#[from] NotMarked),
}

/// A mail server; cheap to clone.
#[derive(Clone)]
pub struct Smtp {
    server: Arc<Server>,
    offer: Duration,
    answer: Duration,
}

struct Server {
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

impl Smtp {
    /// The server that `url` names: `smtp://[user:password@]host[:port][/name][?tls=required|opportunistic]`, or
    /// `smtps://…`. `name` is what we call ourselves. Dials nothing yet.
    ///
    /// # Errors
    /// Says what is wrong with the URL, but never repeats it: it holds a password.
    pub fn new(url: &str) -> Result<Self, String> {
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
        let idle = Mutex::default();
        let server = Arc::new(Server { host, port, security, hello, credentials, idle });
        Ok(Self { server, offer: OFFER, answer: ANSWER })
    }

    /// The same server with less patience: for the answer to the envelope, and to the content.
    #[must_use]
    pub fn with_patience(self, offer: Duration, answer: Duration) -> Self {
        Self { offer, answer, ..self }
    }

    /// Sends one e-mail. `mark` is awaited right before its content goes out, once the server wants it.
    ///
    /// # Errors
    /// When the server has not answered 250; the error tells what that means.
    pub async fn send(
        &self,
        letter: &Message,
        mark: impl Future<Output = Result<(), NotMarked>>,
    ) -> Result<(), SmtpError> {
        let reached = timeout(REACH, self.server.connection()).await;
        let mut connection = reached
            .map_err(|_| late(REACH))
            .and_then(|reached| reached.map_err(|error| said(&error, letter.envelope())))
            .map_err(SmtpError::Unreachable)?;
        let content = letter.formatted();

        let offered = timeout(self.offer, offer(&mut connection, letter, &content)).await;
        if let Err(error) = judge(offered, self.offer, letter.envelope(), SmtpError::Interrupted) {
            return Err(leave(connection, error).await);
        }
        mark.await?;
        service::crash::point("mailer.before_content");
        let answered = timeout(self.answer, connection.message(&content)).await;
        let answered = answered.map(|answered| answered.map(drop));
        match judge(answered, self.answer, letter.envelope(), SmtpError::Uncertain) {
            Ok(()) => {
                self.server.keep(connection);
                Ok(())
            }
            Err(error) => Err(leave(connection, error).await),
        }
    }
}

impl Server {
    async fn connection(&self) -> Result<AsyncSmtpConnection, Error> {
        while let Some((mut connection, since)) = self.take_idle() {
            let is_fresh = since.elapsed() < LONGEST_IDLE;
            // A connection that does not answer at once is dropped: it may still have an answer to come.
            if is_fresh && timeout(COURTESY, connection.test_connected()).await == Ok(true) {
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

    /// By itself, so that the lock is let go of before anything is awaited.
    fn take_idle(&self) -> Option<(AsyncSmtpConnection, Instant)> {
        self.idle().pop_back()
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle();
        idle.push_back((connection, Instant::now()));
        if idle.len() > MOST_IDLE {
            idle.pop_front();
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<(AsyncSmtpConnection, Instant)>> {
        // A panic can't leave a list of connections half done.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sender, recipients, and the server's permission to send the content.
async fn offer(connection: &mut AsyncSmtpConnection, letter: &Message, content: &[u8]) -> Result<(), Error> {
    let envelope = letter.envelope();
    let mut parameters = Vec::new();
    // A server that has no such extension refuses it, and with it an address that it could not deliver to.
    if !envelope.from().into_iter().chain(envelope.to()).all(|address| address.to_string().is_ascii()) {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !content.is_ascii() && connection.server_info().supports_feature(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    connection.command(Mail::new(envelope.from().cloned(), parameters)).await?;
    for recipient in envelope.to() {
        connection.command(Rcpt::new(recipient.clone(), Vec::new())).await?;
    }
    connection.command(Data).await?;
    Ok(())
}

/// A reply is a reply in every phase; what the lack of one means depends on the phase, and `lost` says it.
fn judge(
    answered: Result<Result<(), Error>, tokio::time::error::Elapsed>,
    patience: Duration,
    envelope: &Envelope,
    lost: fn(String) -> SmtpError,
) -> Result<(), SmtpError> {
    match answered {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let text = said(&error, envelope);
            Err(match (error.is_transient(), error.is_permanent()) {
                (true, _) => SmtpError::Deferred(text),
                (_, true) => SmtpError::Refused(text),
                _ => lost(text),
            })
        }
        Err(_) => Err(lost(late(patience))),
    }
}

/// Ends a transaction that has failed. Only a server that has just spoken is worth a goodbye.
async fn leave(mut connection: AsyncSmtpConnection, error: SmtpError) -> SmtpError {
    if matches!(error, SmtpError::Deferred(_) | SmtpError::Refused(_)) {
        let _ = timeout(COURTESY, connection.abort()).await;
    }
    error
}

fn late(patience: Duration) -> String {
    format!("no answer within {} s", patience.as_secs_f64())
}

/// What went wrong, without the addresses that servers like to repeat, whole or up to the @.
fn said(error: &Error, envelope: &Envelope) -> String {
    let is_private = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.contains('@') || envelope.to().iter().any(|to| bare.eq_ignore_ascii_case(to.user()))
    };
    let text = error.to_string();
    let words = text.split_whitespace().map(|word| if is_private(word) { "[redacted]" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().take(LONGEST_TEXT).collect()
}
