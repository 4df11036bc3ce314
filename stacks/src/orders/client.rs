//! The gateway's public HTTP API, as a synthetic client uses it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use uuid::Uuid;

use super::mix::Sort;
use crate::http;

/// An accepted order, as the gateway's answer describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The id of the order.
    pub order_id: String,
    /// The id of its trace; empty if the services record no traces.
    #[serde(deserialize_with = "or_empty")]
    pub trace_id: String,
}

fn or_empty<'de, D: Deserializer<'de>>(text: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(text)?.unwrap_or_default())
}

/// One order and its answer.
#[derive(Debug)]
pub struct Answered {
    /// Which sort of order it was.
    pub sort: Sort,
    /// From the time at which the order was due until its answer was read.
    pub latency: Duration,
    /// When the answer was read.
    pub at: Instant,
    /// The order, for a sort that is accepted; otherwise why the answer is not the expected one, in few different words.
    pub outcome: Result<Option<Order>, String>,
}

/// A client of one gateway whose requests are marked as synthetic.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    gateway: String,
}

impl Client {
    /// A client of the gateway at this URL. `command` names the caller in the user agent.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(gateway: impl Into<String>, command: &str) -> Result<Self> {
        Ok(Self { http: http::synthetic_client(command)?, gateway: gateway.into() })
    }

    /// Refuses a gateway that does not answer.
    pub(crate) async fn expect_gateway(&self) -> Result<()> {
        match http::probe(&self.http, &format!("{}/livez", self.gateway)).await {
            Ok(()) => Ok(()),
            Err(reason) => {
                bail!("cannot use the gateway at {}: it {reason}; start it with `make up`", self.gateway)
            }
        }
    }

    /// Places the sample order.
    ///
    /// # Errors
    /// When the order is not accepted; the gateway's answer is quoted.
    pub async fn place_sample(&self) -> Result<Order> {
        let Self { gateway, .. } = self;
        let response = match self.request(Sort::Sample).send().await {
            Err(error) => bail!("cannot place an order: the gateway at {gateway} {}", http::brief(&error)),
            Ok(response) => response,
        };
        let status = response.status();
        if status != Sort::Sample.expected() {
            let body = response.text().await.unwrap_or_default();
            bail!("cannot place an order: {gateway} answered {status}\n  {}", body.trim());
        }
        response.json().await.context("cannot read the gateway's answer to an order")
    }

    /// Places an order of a sort and reads its answer to the end. The latency counts from `due`.
    pub async fn place(&self, sort: Sort, due: Instant) -> Answered {
        let outcome = match sort {
            Sort::Repeated => self.place_twice().await,
            _ => self.answer(sort, self.request(sort)).await,
        };
        let at = Instant::now();
        Answered { sort, latency: at.saturating_duration_since(due), at, outcome }
    }

    async fn place_twice(&self) -> Result<Option<Order>, String> {
        let key = Uuid::new_v4().to_string();
        let request = || self.request(Sort::Repeated).header("idempotency-key", &key);
        let first = self.answer(Sort::Repeated, request()).await?;
        let second = self.answer(Sort::Repeated, request()).await?;
        let id = |order: &Option<Order>| order.as_ref().map(|order| order.order_id.clone());
        if id(&first) == id(&second) { Ok(first) } else { Err("one key, two orders".into()) }
    }

    fn request(&self, sort: Sort) -> RequestBuilder {
        match sort.body() {
            Some(body) => self.post().json(&body),
            None => self.post(),
        }
    }

    /// A request for an order, without a body yet.
    pub fn post(&self) -> RequestBuilder {
        self.http.post(format!("{}/create-order", self.gateway))
    }

    async fn answer(&self, sort: Sort, request: RequestBuilder) -> Result<Option<Order>, String> {
        match request.send().await {
            Ok(response) => judge(sort, response).await,
            Err(error) => Err(format!("no answer: the gateway {}", http::brief(&error))),
        }
    }

    /// The trace id of an order, if the gateway knows the order.
    pub(crate) async fn trace_id(&self, order: &str) -> Option<String> {
        let response = self.http.get(format!("{}/orders/{order}", self.gateway)).send().await.ok()?;
        let order: Order = (response.status() == StatusCode::OK).then_some(response)?.json().await.ok()?;
        Some(order.trace_id)
    }
}

/// Reads an answer to its end, and compares it with the one that the sort must get.
async fn judge(sort: Sort, response: Response) -> Result<Option<Order>, String> {
    let status = response.status();
    let body = response.bytes().await.map_err(|_| format!("{status}, and the answer broke off"))?;
    if status != sort.expected() {
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let title = problem["title"].as_str().unwrap_or("without a problem document");
        return Err(format!("{}: {title}", status.as_u16()));
    }
    if status != StatusCode::CREATED {
        return Ok(None);
    }
    serde_json::from_slice(&body)
        .map(Some)
        .map_err(|_| format!("{status}, without the ids of order and trace"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_without_traces_has_an_empty_trace_id() {
        let order: Order = serde_json::from_str(r#"{"orderId": "o-1", "traceId": null}"#).unwrap();
        assert_eq!(order, Order { order_id: "o-1".to_owned(), trace_id: String::new() });
        assert!(serde_json::from_str::<Order>(r#"{"orderId": "o-1"}"#).is_err());
    }
}
