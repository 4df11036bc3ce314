//! The way out for e-mails: SMTP, or files for those who have no mail server.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use lettre::Message;
use secrecy::{ExposeSecret, SecretString};
use store::StoreError;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::smtp::{Smtp, SmtpError};

/// Files that are written at once: each takes a thread, and to have more of them makes no disk faster.
const WRITERS: usize = 2;

/// Where e-mails go.
#[derive(Clone)]
pub enum Transport {
    /// To a mail server.
    Smtp(Smtp),
    /// Into files of RFC 5322 in this directory, by those who have a permit.
    Files(PathBuf, Arc<Semaphore>),
}

/// Why an e-mail did not leave.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The setting is not a URL of SMTP. It is not repeated here: it holds a password.
    #[error("SMTP_URL is not a URL such as smtp://localhost:1025: {0}")]
    Url(String),
    /// The directory can't be made.
    #[error("can't make the directory MAIL_DIR")]
    Directory(#[source] io::Error),
    /// The mail server did not answer 250.
    #[error(transparent)]
    Smtp(#[from] SmtpError),
    /// The file could not be written.
    #[error("the e-mail could not be written to a file")]
    File(#[from] io::Error),
}

/// Why it was not noted that an e-mail is about to leave.
#[derive(Debug, thiserror::Error)]
pub enum NotMarked {
    /// The inbox can't be written.
    #[error("the inbox can't be written")]
    Store(#[from] StoreError),
    /// The claim on the event has run out, and somebody else has it.
    #[error("somebody else has claimed it since")]
    Lost,
}

/// What is known about an e-mail after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody has it; another attempt may succeed.
    NotTaken,
    /// Nobody has it, and another attempt would end the same way.
    Refused,
    /// The mail server may have it or not.
    Uncertain,
}

impl TransportError {
    /// What is known about the e-mail.
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
    /// When the URL is not one, or the directory can't be made.
    pub fn new(smtp_url: Option<&SecretString>, mail_dir: PathBuf) -> Result<Self, TransportError> {
        match smtp_url {
            Some(url) => Self::smtp(url),
            None => {
                fs::create_dir_all(&mail_dir).map_err(TransportError::Directory)?;
                Ok(Self::Files(mail_dir, Arc::new(Semaphore::new(WRITERS))))
            }
        }
    }

    /// SMTP; dials nothing yet.
    ///
    /// # Errors
    /// When the URL is not one.
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

    /// Sends one e-mail. `name` is the stem of the file it may become: the same e-mail, the same file.
    /// `mark` is awaited right before nobody could tell any more whether a mail server has it.
    ///
    /// # Errors
    /// When nobody is known to have taken responsibility for it.
    pub async fn send(
        &self,
        letter: Message,
        name: &str,
        mark: impl Future<Output = Result<(), NotMarked>>,
    ) -> Result<(), TransportError> {
        match self {
            // A conversation by SMTP takes more room than all else that is done with an e-mail.
            Self::Smtp(smtp) => Box::pin(smtp.send(&letter, mark)).await?,
            Self::Files(directory, writers) => {
                // Nobody closes it.
                let _permit = writers.acquire().await.ok();
                // Renamed when whole: who watches the directory never sees half an e-mail. And never uncertain:
                // to write it again changes nothing.
                let [part, whole] = ["part", "eml"].map(|kind| directory.join(format!("{name}.{kind}")));
                let write =
                    move || fs::write(&part, letter.formatted()).and_then(|()| fs::rename(part, whole));
                // A cancelled write means that the runtime is ending, and with it the process.
                spawn_blocking(write).await.map_err(io::Error::other)??;
            }
        }
        Ok(())
    }
}
