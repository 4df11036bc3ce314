//! Tempo's query API: a trace by its id, as OTLP JSON.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use reqwest::{Client, StatusCode, header::ACCEPT};
use serde::Deserialize;

use super::{Traces, ask, expect_ok, otlp::OtlpTrace, valid_trace_id};
use crate::trace::Trace;

/// A client of one Tempo.
pub struct Tempo {
    client: Client,
    url: String,
}

impl Tempo {
    /// A client of the server at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }
}

#[async_trait]
impl Traces for Tempo {
    async fn trace(&self, id: &str) -> Result<Option<Trace>> {
        let id = valid_trace_id(id)?;
        let request = self.client.get(format!("{}/api/v2/traces/{id}", self.url));
        let response = ask(request.header(ACCEPT, "application/json"), "Tempo", &self.url).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = expect_ok(response, "Tempo", &self.url).await?;
        let answer: Answer = response.json().await.context("cannot read Tempo's answer")?;
        Ok(answer.trace.into_trace(id))
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    trace: OtlpTrace,
}
