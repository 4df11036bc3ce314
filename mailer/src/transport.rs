//! The way out for e-mails: SMTP, or files for those who have no mail server.

use std::path::PathBuf;

use lettre::Message;
use secrecy::{ExposeSecret, SecretString};
use store::StoreError;

use crate::smtp::{Smtp, SmtpError};

/// Where e-mails go.
#[derive(Clone)]
pub enum Transport {
    /// To a mail server.
    Smtp(Smtp),
    /// Into files of RFC 5322 in this directory.
    Files(PathBuf),
}

/// Why an e-mail did not leave.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The setting is not a URL of SMTP. It is not repeated here: it holds a password.
    #[error("SMTP_URL is not a URL such as smtp://localhost:1025: {0}")]
    Url(String),
    /// The directory can't be made.
    #[error("can't make the directory MAIL_DIR")]
    Directory(#[source] std::io::Error),
    /// The mail server did not answer 250.
    #[error(transparent)]
    Smtp(#[from] SmtpError),
    /// The file could not be written.
    #[error("the e-mail could not be written to a file")]
    File(#[from] std::io::Error),
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
                std::fs::create_dir_all(&mail_dir).map_err(TransportError::Directory)?;
                Ok(Self::Files(mail_dir))
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
            Self::Files(_) => "file",
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
            Self::Smtp(smtp) => smtp.send(&letter, mark).await?,
            Self::Files(directory) => {
                // Renamed when whole: who watches the directory never sees half an e-mail. And never uncertain:
                // to write it again changes nothing.
                let part = directory.join(format!("{name}.part"));
                tokio::fs::write(&part, letter.formatted()).await?;
                tokio::fs::rename(part, directory.join(format!("{name}.eml"))).await?;
            }
        }
        Ok(())
    }
}
