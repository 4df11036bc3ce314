//! The destination of e-mails: a mail server, or files where there is none.

mod fate;
mod smtp;

use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use lettre::Message;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

pub use self::fate::{Fate, NotMarked};
pub use self::smtp::{MAX_ATTEMPT, Smtp, SmtpError};

/// Files that are written at once: each takes a thread, and more of them make no disk faster.
const MAX_WRITERS: usize = 2;

/// A destination of e-mails.
#[derive(Clone)]
pub enum Transport {
    /// A mail server.
    Smtp(Smtp),
    /// Files of RFC 5322 in this directory; a writer needs a permit.
    Files(PathBuf, Arc<Semaphore>),
}

/// Why an e-mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The setting is not a URL of SMTP. The text does not repeat it, because it has a password in it.
    #[error("SMTP_URL is not a URL such as smtp://localhost:1025: {0}")]
    Url(String),
    /// The directory can't be created.
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
            None => {
                fs::create_dir_all(&mail_dir).map_err(TransportError::Directory)?;
                Ok(Self::Files(mail_dir, Arc::new(Semaphore::new(MAX_WRITERS))))
            }
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
            Self::Files(..) => "file",
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
            Self::Files(directory, writers) => {
                // The semaphore is never closed.
                let _permit = writers.acquire().await.ok();
                // Renamed when whole, so that a reader of the directory never finds half an e-mail. A file is never
                // uncertain: it may be written again.
                let [part, whole] = ["part", "eml"].map(|kind| directory.join(format!("{name}.{kind}")));
                let write =
                    move || fs::write(&part, email.formatted()).and_then(|()| fs::rename(part, whole));
                // A cancelled write means that the runtime is ending, and with it the process.
                spawn_blocking(write).await.map_err(io::Error::other)??;
            }
        }
        Ok(())
    }
}
