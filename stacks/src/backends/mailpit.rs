//! Mailpit's API.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use reqwest::Client;
use serde::Deserialize;

use super::{Email, Inbox, asker::Asker, lines::Query, questions::Asked};

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
        Ok(self.search(order).await?.messages_count)
    }

    async fn email(&self, order: &str) -> Result<Option<Email>> {
        let Found { messages, messages_count: count } = self.search(order).await?;
        let Some(Named { id }) = messages.into_iter().next() else { return Ok(None) };
        let message = self.0.ask_ok(&Asked::message(&id)).await?;
        let message: Message = message.json().await.context("cannot read Mailpit's e-mail")?;
        let to: Vec<String> = message.to.iter().flatten().map(Address::text).collect();
        Ok(Some(Email {
            message_id: message.message_id,
            from: message.from.as_ref().map(Address::text).unwrap_or_default(),
            to: to.join(", "),
            subject: message.subject,
            date: message.date,
            text: message.text,
            page: Some(id),
            count,
        }))
    }

    fn query(&self, order: &str) -> Query {
        Query::new("shell", format!("curl '{}/api/v1/search?query={order}'", self.0.url))
    }
}

impl Mailpit {
    async fn search(&self, order: &str) -> Result<Found> {
        let found = self.0.ask_ok(&Asked::emails(order)).await?;
        found.json().await.context("cannot read Mailpit's answer")
    }
}

#[derive(Deserialize)]
struct Found {
    /// The number of all matches; `messages` holds the first of them.
    messages_count: usize,
    #[serde(default)]
    messages: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "ID")]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(rename = "MessageID")]
    message_id: String,
    from: Option<Address>,
    to: Option<Vec<Address>>,
    subject: String,
    date: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Address {
    #[serde(default)]
    name: String,
    address: String,
}

impl Address {
    fn text(&self) -> String {
        let Self { name, address } = self;
        if name.is_empty() { address.clone() } else { format!("{name} <{address}>") }
    }
}
