//! SMTP, step by step: after a lost connection the caller must know whether the e-mail may have been delivered.
//!
//! lettre's pool can't tell, and it puts a connection back whose future was dropped in mid-transaction: the next e-mail would
//! read the answers of the one before.

mod helo;
mod reply;
mod resolver;
mod server;

use std::sync::Arc;
use std::time::Duration;

use lettre::Message;
use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use tokio::time::timeout;

use self::reply::{Step, is_final, redacted};
use self::server::{ConnectError, Server, is_lost};
use super::fate::NotMarked;

/// For the connection: TCP, TLS, greeting, login.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
/// For the envelope, up to the permission to send the content.
const ENVELOPE_DEADLINE: Duration = Duration::from_secs(20);
/// For the answer to the content; an e-mail without one is uncertain.
const CONTENT_DEADLINE: Duration = Duration::from_secs(60);
/// For the end of a failed transaction.
const ABORT_DEADLINE: Duration = Duration::from_secs(1);
/// The longest attempt to send an e-mail.
pub const MAX_ATTEMPT: Duration = CONNECT_DEADLINE
    .saturating_add(ENVELOPE_DEADLINE)
    .saturating_add(CONTENT_DEADLINE)
    .saturating_add(ABORT_DEADLINE);

/// Why an e-mail did not get the server's 250.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// There was no transaction: the server has not seen this e-mail.
    #[error("the mail server can't be used: {0}")]
    Unreachable(String),
    /// A reply of 4xx, or one of 5xx that concerns the session or the sender.
    #[error("the mail server does not take the e-mail now: {0}")]
    Deferred(String),
    /// A reply of 5xx that concerns the e-mail.
    #[error("the mail server refused the e-mail: {0}")]
    Refused(String),
    /// The connection was lost before the content was sent.
    #[error("the connection was lost before the mail server had the e-mail: {0}")]
    Interrupted(String),
    /// The connection was lost after that.
    #[error("it is not known whether the mail server has taken the e-mail: {0}")]
    Uncertain(String),
    /// It could not be recorded that the content is about to be sent, and so it was not sent.
    #[error("the e-mail was not sent")]
    Unmarked(#[from] NotMarked),
}

/// A mail server; cheap to clone.
#[derive(Clone)]
pub struct Smtp {
    server: Arc<Server>,
    envelope_deadline: Duration,
    content_deadline: Duration,
}

impl Smtp {
    /// The server that `url` names: `smtp://[user:password@]host[:port][/name][?tls=required|opportunistic]`, or
    /// `smtps://…`. `name` is the name in our EHLO. Connects to nothing yet.
    ///
    /// # Errors
    /// When the URL is not valid; the text does not repeat it, because it has a password in it.
    pub fn new(url: &str) -> Result<Self, String> {
        let server = Arc::new(Server::parse(url)?);
        Ok(Self { server, envelope_deadline: ENVELOPE_DEADLINE, content_deadline: CONTENT_DEADLINE })
    }

    /// The same server with other deadlines for the envelope and the content.
    #[must_use]
    pub fn with_deadlines(self, envelope_deadline: Duration, content_deadline: Duration) -> Self {
        Self { envelope_deadline, content_deadline, ..self }
    }

    /// Sends one e-mail. `mark` is awaited right before its content is sent, once the server has asked for it.
    ///
    /// # Errors
    /// When the server has not answered 250; the variant tells whether it may have the e-mail.
    pub async fn send(
        &self,
        email: &Message,
        mark: impl Future<Output = Result<(), NotMarked>>,
    ) -> Result<(), SmtpError> {
        let content = email.formatted();
        // Idle sessions that have ended take time, too: both deadlines together hold for all of it, as MAX_ATTEMPT says.
        let limit = CONNECT_DEADLINE + self.envelope_deadline;
        let offered = timeout(limit, self.offer(email, &content)).await;
        let mut connection = offered.unwrap_or_else(|_| Err(SmtpError::Interrupted(late(limit))))?;
        mark.await?;
        service::crash::point("mailer.before_content");
        let answered = timeout(self.content_deadline, connection.message(&content)).await;
        let failure = match answered {
            Ok(Ok(_)) => {
                self.server.keep(connection);
                return Ok(());
            }
            Ok(Err(error)) => judge(Step::Content, &error, email.envelope(), SmtpError::Uncertain),
            Err(_) => SmtpError::Uncertain(late(self.content_deadline)),
        };
        Err(abort(connection, failure).await)
    }

    /// A connection on which the server waits for the content.
    async fn offer(&self, email: &Message, content: &[u8]) -> Result<AsyncSmtpConnection, SmtpError> {
        let mut idle = self.server.idle_connection().await;
        loop {
            let is_reused = idle.is_some();
            let mut connection = match idle.take() {
                Some(connection) => connection,
                None => self.connect(email.envelope()).await?,
            };
            let offered = timeout(self.envelope_deadline, offer(&mut connection, email, content)).await;
            let failure = match offered {
                Ok(Ok(())) => return Ok(connection),
                // The server has ended the session, as some do after a number of e-mails: a new one may take this e-mail.
                Ok(Err((_, error))) if is_reused && is_lost(&error) => continue,
                Ok(Err((step, error))) => judge(step, &error, email.envelope(), SmtpError::Interrupted),
                Err(_) => SmtpError::Interrupted(late(self.envelope_deadline)),
            };
            return Err(abort(connection, failure).await);
        }
    }

    async fn connect(&self, envelope: &Envelope) -> Result<AsyncSmtpConnection, SmtpError> {
        let connected = timeout(CONNECT_DEADLINE, self.server.connect()).await;
        connected
            .map_err(|_| late(CONNECT_DEADLINE))
            .and_then(|connected| connected.map_err(|error| self.unusable(&error, envelope)))
            .map_err(SmtpError::Unreachable)
    }

    /// Why there is no connection; for a refused certificate, with its server and what to do.
    fn unusable(&self, error: &ConnectError, envelope: &Envelope) -> String {
        let text = redacted(&error.to_string(), envelope);
        match telemetry::certificate::advice(error) {
            Some(advice) => format!("{}: {text}: {advice}", self.server.address()),
            None => text,
        }
    }
}

/// Sends the envelope and asks for permission to send the content.
async fn offer(
    connection: &mut AsyncSmtpConnection,
    email: &Message,
    content: &[u8],
) -> Result<(), (Step, Error)> {
    let envelope = email.envelope();
    let (mut parameters, mut step) = (Vec::new(), Step::Sender);
    // A server without this extension refuses the parameter, and could not deliver to the address either.
    if !envelope.from().into_iter().chain(envelope.to()).all(|address| address.to_string().is_ascii()) {
        parameters.push(MailParameter::SmtpUtfEight);
        step = Step::Recipient;
    }
    if !content.is_ascii() && connection.server_info().supports_feature(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let mail = Mail::new(envelope.from().cloned(), parameters);
    connection.command(mail).await.map_err(|error| (step, error))?;
    for recipient in envelope.to() {
        let recipient = Rcpt::new(recipient.clone(), Vec::new());
        connection.command(recipient).await.map_err(|error| (Step::Recipient, error))?;
    }
    connection.command(Data).await.map_err(|error| (Step::Recipient, error))?;
    Ok(())
}

/// The meaning of a failed step; `lost` makes the error of one without a reply.
fn judge(step: Step, error: &Error, envelope: &Envelope, lost: fn(String) -> SmtpError) -> SmtpError {
    let text = redacted(&error.to_string(), envelope);
    if error.is_permanent() && is_final(step, error) {
        SmtpError::Refused(text)
    } else if error.is_permanent() || error.is_transient() {
        SmtpError::Deferred(text)
    } else {
        lost(text)
    }
}

/// Ends a failed transaction; politely where the server has just replied.
async fn abort(mut connection: AsyncSmtpConnection, error: SmtpError) -> SmtpError {
    if matches!(error, SmtpError::Deferred(_) | SmtpError::Refused(_)) {
        let _ = timeout(ABORT_DEADLINE, connection.abort()).await;
    }
    error
}

fn late(deadline: Duration) -> String {
    format!("no answer within {} s", deadline.as_secs_f64())
}
