//! Jaeger's query API of version 3: a trace by its id, as OTLP JSON. Jaeger's internal JSON has one reference where a span
//! has the same parent and link, and loses which of both it was.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use reqwest::{Client, StatusCode};
use serde::Deserialize;

use super::{Traces, ask, expect_ok, otlp::OtlpTrace, valid_trace_id};
use crate::trace::Trace;

/// A client of one Jaeger.
pub struct Jaeger {
    client: Client,
    url: String,
}

impl Jaeger {
    /// A client of the query API at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }
}

#[async_trait]
impl Traces for Jaeger {
    async fn trace(&self, id: &str) -> Result<Option<Trace>> {
        let id = valid_trace_id(id)?;
        let request = self.client.get(format!("{}/api/v3/traces/{id}", self.url));
        let response = ask(request, "Jaeger", &self.url).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = expect_ok(response, "Jaeger", &self.url).await?;
        let answer: Answer = response.json().await.context("cannot read Jaeger's answer")?;
        Ok(answer.result.into_trace(id))
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: OtlpTrace,
}
