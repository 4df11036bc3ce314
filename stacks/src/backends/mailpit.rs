//! Mailpit's API.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use reqwest::Client;
use serde::Deserialize;

use super::{Inbox, asker::Asker, questions::Asked};

/// A client of one Mailpit.
pub struct Mailpit(Asker);

impl Mailpit {
    /// A client of the server at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self(Asker::new(client, url))
    }
}

#[async_trait]
impl Inbox for Mailpit {
    async fn emails(&self, order: &str) -> Result<usize> {
        // A plain word is searched for in the texts.
        let found = self.0.ask_ok(&Asked::emails(order)).await?;
        let found: Found = found.json().await.context("cannot read Mailpit's answer")?;
        Ok(found.messages_count)
    }
}

#[derive(Deserialize)]
struct Found {
    /// The number of all matches; `messages` holds the first of them.
    messages_count: usize,
}
