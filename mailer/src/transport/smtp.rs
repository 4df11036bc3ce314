//! SMTP, step by step: after a lost connection the caller must know whether the e-mail may have been delivered.
//!
//! lettre's pool can't tell, and it puts a connection back whose future was dropped in mid-transaction: the next e-mail would
//! read the answers of the one before.

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

use self::server::Server;
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
/// Characters of a text of the server in an error.
const MAX_TEXT: usize = 300;

/// Why an e-mail did not get the server's 250.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// There was no transaction: the server has not seen this e-mail.
    #[error("the mail server can't be used: {0}")]
    Unreachable(String),
    /// A reply of 4xx.
    #[error("the mail server does not take the e-mail now: {0}")]
    Deferred(String),
    /// A reply of 5xx.
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
        let connected = timeout(CONNECT_DEADLINE, self.server.connection()).await;
        let mut connection = connected
            .map_err(|_| late(CONNECT_DEADLINE))
            .and_then(|connected| connected.map_err(|error| redacted(&error, email.envelope())))
            .map_err(SmtpError::Unreachable)?;
        let content = email.formatted();

        let offered = timeout(self.envelope_deadline, offer(&mut connection, email, &content)).await;
        if let Err(error) = judge(offered, self.envelope_deadline, email.envelope(), SmtpError::Interrupted) {
            return Err(abort(connection, error).await);
        }
        mark.await?;
        service::crash::point("mailer.before_content");
        let answered = timeout(self.content_deadline, connection.message(&content)).await;
        let answered = answered.map(|answered| answered.map(drop));
        match judge(answered, self.content_deadline, email.envelope(), SmtpError::Uncertain) {
            Ok(()) => {
                self.server.keep(connection);
                Ok(())
            }
            Err(error) => Err(abort(connection, error).await),
        }
    }
}

/// Sends the envelope and asks for permission to send the content.
async fn offer(connection: &mut AsyncSmtpConnection, email: &Message, content: &[u8]) -> Result<(), Error> {
    let envelope = email.envelope();
    let mut parameters = Vec::new();
    // A server without this extension refuses the parameter, and could not deliver to the address either.
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

/// The result of a phase: a reply means the same in each; `lost` makes the error of a phase without one.
fn judge(
    answered: Result<Result<(), Error>, tokio::time::error::Elapsed>,
    deadline: Duration,
    envelope: &Envelope,
    lost: fn(String) -> SmtpError,
) -> Result<(), SmtpError> {
    match answered {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let text = redacted(&error, envelope);
            Err(match (error.is_transient(), error.is_permanent()) {
                (true, _) => SmtpError::Deferred(text),
                (_, true) => SmtpError::Refused(text),
                _ => lost(text),
            })
        }
        Err(_) => Err(lost(late(deadline))),
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

/// The text of an error without addresses, which servers repeat, whole or up to the @.
fn redacted(error: &Error, envelope: &Envelope) -> String {
    let is_private = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.contains('@') || envelope.to().iter().any(|to| bare.eq_ignore_ascii_case(to.user()))
    };
    let text = error.to_string();
    let words = text.split_whitespace().map(|word| if is_private(word) { "[redacted]" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().take(MAX_TEXT).collect()
}
