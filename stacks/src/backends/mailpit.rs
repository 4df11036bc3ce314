//! Mailpit's API.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use reqwest::Client;
use serde::Deserialize;

use super::{Inbox, ask_ok};

/// A client of one Mailpit.
pub struct Mailpit {
    client: Client,
    url: String,
}

impl Mailpit {
    /// A client of the server at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }
}

#[async_trait]
impl Inbox for Mailpit {
    async fn emails(&self, order: &str) -> Result<usize> {
        // A plain word is searched for in the texts.
        let search = format!("{}/api/v1/search", self.url);
        let request = self.client.get(search).query(&[("query", order), ("limit", "1")]);
        let found: Found = ask_ok(request, "Mailpit", &self.url)
            .await?
            .json()
            .await
            .context("cannot read Mailpit's answer")?;
        Ok(found.messages_count)
    }
}

#[derive(Deserialize)]
struct Found {
    /// The number of all matches; `messages` holds the first of them.
    messages_count: usize,
}
