//! Tempo's query API: a trace by its id, as OTLP JSON.

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

/// A client of one Tempo.
pub struct Tempo(Asker);

impl Tempo {
    /// A client of the server at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self(Asker::new(client, url))
    }
}

#[async_trait]
impl Traces for Tempo {
    async fn trace(&self, id: &str) -> Result<Option<Trace>> {
        let id = valid_trace_id(id)?;
        let asked = Asked::trace(Question::TempoTrace, &id);
        let response = self.0.ask(&asked).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = self.0.expect_ok(&asked, response).await?;
        let answer: Answer = response.json().await.context("cannot read Tempo's answer")?;
        Ok(answer.trace.into_trace(id))
    }

    fn query(&self, id: &str) -> Query {
        Query::new("TraceQL", format!("{{ trace:id = \"{id}\" }}"))
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    trace: OtlpTrace,
}
