//! The destination of e-mails: a mail server, or files where there is none.

mod fate;
mod files;
mod smtp;

use std::io;
use std::path::PathBuf;

use lettre::Message;
use secrecy::{ExposeSecret, SecretString};

pub use self::fate::{Fate, NotMarked};
pub use self::files::Files;
pub use self::smtp::{MAX_ATTEMPT, Smtp, SmtpError};

/// A destination of e-mails.
#[derive(Clone)]
pub enum Transport {
    /// A mail server.
    Smtp(Smtp),
    /// Files of RFC 5322.
    Files(Files),
}

/// Why an e-mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The setting is not a URL of SMTP. The text does not repeat it, because it has a password in it.
    #[error("SMTP_URL is not a URL such as smtp://localhost:1025: {0}")]
    Url(String),
    /// The directory can't be created, or the thread that writes there can't be started.
    #[error("cannot create the directory MAIL_DIR")]
    Directory(#[source] io::Error),
    /// The mail server did not answer 250.
    #[error(transparent)]
    Smtp(#[from] SmtpError),
    /// The file could not be written.
    #[error("the e-mail could not be written to a file")]
    File(#[from] io::Error),
}

impl TransportError {
    /// The fate of the e-mail.
    pub fn fate(&self) -> Fate {
        match self {
            Self::Smtp(SmtpError::Refused(_)) | Self::Url(_) => Fate::Refused,
            Self::Smtp(SmtpError::Uncertain(_)) => Fate::Uncertain,
            Self::Smtp(_) | Self::Directory(_) | Self::File(_) => Fate::NotTaken,
        }
    }
}

impl Transport {
    /// SMTP where there is a URL for it, else files.
    ///
    /// # Errors
    /// When the URL is not valid, or the directory can't be created.
    pub fn new(smtp_url: Option<&SecretString>, mail_dir: PathBuf) -> Result<Self, TransportError> {
        match smtp_url {
            Some(url) => Self::smtp(url),
            None => Files::open(mail_dir).map(Self::Files).map_err(TransportError::Directory),
        }
    }

    /// SMTP; connects to nothing yet.
    ///
    /// # Errors
    /// When the URL is not valid.
    pub fn smtp(url: &SecretString) -> Result<Self, TransportError> {
        Smtp::new(url.expose_secret()).map(Self::Smtp).map_err(TransportError::Url)
    }

    /// The name in spans and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Smtp(_) => "smtp",
            Self::Files(_) => "file",
        }
    }

    /// Sends one e-mail. `name` is the stem of its file: the same e-mail has the same file. `mark` is awaited right before
    /// the content is sent to a mail server.
    ///
    /// # Errors
    /// When the destination has not confirmed that it has the e-mail.
    pub async fn send(
        &self,
        email: Message,
        name: &str,
        mark: impl Future<Output = Result<(), NotMarked>>,
    ) -> Result<(), TransportError> {
        match self {
            // The future of an SMTP transaction is larger than all others of an e-mail.
            Self::Smtp(smtp) => Box::pin(smtp.send(&email, mark)).await?,
            // A file is never uncertain: it may be written again.
            Self::Files(files) => files.write(name, email.formatted()).await?,
        }
        Ok(())
    }
}
