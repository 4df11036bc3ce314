//! The way out for e-mails: SMTP, or files for those who have no mail server.

use std::path::PathBuf;
use std::time::Duration;

use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

/// For all of one e-mail: lettre's own timeout covers the connect alone.
const SMTP_DEADLINE: Duration = Duration::from_secs(30);

/// Where e-mails go.
#[derive(Clone)]
pub enum Transport {
    /// To a mail server.
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    /// Into files of RFC 5322 in this directory.
    Files(PathBuf),
}

/// Why an e-mail did not leave.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The setting is not a URL of SMTP.
    #[error("SMTP_URL is not a URL such as smtp://localhost:1025")]
    Url(#[source] lettre::transport::smtp::Error),
    /// The directory can't be made.
    #[error("can't make the directory MAIL_DIR")]
    Directory(#[source] std::io::Error),
    /// The mail server refused, or could not be reached.
    #[error("the mail server did not take the e-mail")]
    Smtp(#[from] lettre::transport::smtp::Error),
    /// The mail server did not answer in time.
    #[error("the mail server did not answer within {} s", SMTP_DEADLINE.as_secs())]
    Deadline,
    /// The file could not be written.
    #[error("the e-mail could not be written to a file")]
    File(#[from] std::io::Error),
}

impl TransportError {
    /// Whether another attempt would end the same way.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Smtp(error) => error.is_permanent(),
            Self::Url(_) => true,
            Self::Directory(_) | Self::Deadline | Self::File(_) => false,
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
        AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
            .map(|smtp| Self::Smtp(smtp.build()))
            .map_err(TransportError::Url)
    }

    /// The name in spans and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Smtp(_) => "smtp",
            Self::Files(_) => "file",
        }
    }

    /// Sends one e-mail. `name` is the stem of the file it may become: the same e-mail, the same file.
    ///
    /// # Errors
    /// When nobody has taken responsibility for it.
    pub async fn send(&self, letter: Message, name: &str) -> Result<(), TransportError> {
        match self {
            Self::Smtp(smtp) => {
                timeout(SMTP_DEADLINE, smtp.send(letter)).await.map_err(|_| TransportError::Deadline)??;
            }
            Self::Files(directory) => {
                // Renamed when whole: who watches the directory never sees half an e-mail.
                let part = directory.join(format!("{name}.part"));
                tokio::fs::write(&part, letter.formatted()).await?;
                tokio::fs::rename(part, directory.join(format!("{name}.eml"))).await?;
            }
        }
        Ok(())
    }
}
