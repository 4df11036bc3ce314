//! Jaeger's query API of version 3: a trace by its id, as OTLP JSON. Jaeger's internal JSON has one reference where a span
//! has the same parent and link, and loses which of both it was.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use reqwest::{Client, StatusCode};
use serde::Deserialize;

use super::{
    Traces,
    asker::Asker,
    lines::Query,
    otlp::OtlpTrace,
    questions::{Asked, Question},
    valid_trace_id,
};
use crate::trace::Trace;

/// A client of one Jaeger.
pub struct Jaeger(Asker);

impl Jaeger {
    /// A client of the query API at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self(Asker::new(client, url))
    }
}

#[async_trait]
impl Traces for Jaeger {
    async fn trace(&self, id: &str) -> Result<Option<Trace>> {
        let id = valid_trace_id(id)?;
        let asked = Asked::trace(Question::JaegerTrace, &id);
        let response = self.0.ask(&asked).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = self.0.expect_ok(&asked, response).await?;
        let answer: Answer = response.json().await.context("cannot read Jaeger's answer")?;
        Ok(answer.result.into_trace(id))
    }

    fn query(&self, id: &str) -> Query {
        Query::new("shell", format!("curl {}/api/v3/traces/{id}", self.0.url))
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: OtlpTrace,
}
