//! A server that is asked the questions of the table.

use anyhow::{Result, bail};
use reqwest::{Client, Response};

use super::questions::Asked;
use crate::http;

/// Characters of a server's error text that are quoted.
const MAX_REASON: usize = 300;

/// A server at a URL. Clients have nothing else to send a request with.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    client: Client,
    pub(super) url: String,
    login: Option<(String, String)>,
}

impl Asker {
    pub(crate) fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into(), login: None }
    }

    /// The same server, for a user with a password.
    pub(crate) fn with_login(self, user: &str, password: &str) -> Self {
        Self { login: Some((user.to_owned(), password.to_owned())), ..self }
    }

    /// The answer, of any status; an error names the server and its URL.
    pub(crate) async fn ask(&self, asked: &Asked) -> Result<Response> {
        let mut request = asked.request(&self.client, &self.url);
        if let Some((user, password)) = &self.login {
            request = request.basic_auth(user, Some(password));
        }
        match request.send().await {
            Err(error) => bail!("cannot ask {} at {}: it {}", asked.server(), self.url, http::brief(&error)),
            Ok(response) => Ok(response),
        }
    }

    /// The answer, which must be 2xx.
    pub(super) async fn ask_ok(&self, asked: &Asked) -> Result<Response> {
        self.expect_ok(asked, self.ask(asked).await?).await
    }

    /// Refuses an answer that is not 2xx.
    pub(super) async fn expect_ok(&self, asked: &Asked, response: Response) -> Result<Response> {
        let status = response.status();
        if !status.is_success() {
            let text = response.text().await.unwrap_or_default();
            bail!("cannot ask {} at {}: it answered {status}: {}", asked.server(), self.url, in_brief(&text));
        }
        Ok(response)
    }
}

/// A server's error text, shortened to one line.
fn in_brief(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { "no reason".into() } else { words.chars().take(MAX_REASON).collect() }
}
