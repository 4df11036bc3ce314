//! Mailpit's API.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use reqwest::Client;
use serde::Deserialize;

use super::{Inbox, ask_well};

/// A Mailpit.
pub struct Mailpit {
    client: Client,
    url: String,
}

impl Mailpit {
    /// The one whose web page is at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }
}

#[async_trait]
impl Inbox for Mailpit {
    async fn emails(&self, order: &str) -> Result<usize> {
        // A plain word is looked for in the text of the e-mails.
        let search = format!("{}/api/v1/search", self.url);
        let request = self.client.get(search).query(&[("query", order), ("limit", "1")]);
        let found: Found = ask_well(request, "Mailpit", &self.url)
            .await?
            .json()
            .await
            .context("the answer is not that of Mailpit's search")?;
        Ok(found.messages_count)
    }
}

#[derive(Deserialize)]
struct Found {
    /// All that match; `messages` holds the first of them.
    messages_count: usize,
}
