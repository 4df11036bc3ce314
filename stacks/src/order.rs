//! An order as a client places it and asks for it later: the gateway's public HTTP, nothing else.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    http,
    logs::{self, Filter},
};

/// What the gateway says about an order; its answer holds more than is needed here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Its id.
    pub order_id: String,
    /// The trace of its way.
    pub trace_id: String,
}

/// Places the sample order.
pub async fn place(client: &Client, gateway: &str) -> Result<Order> {
    let response = match client.post(format!("{gateway}/create-order")).send().await {
        Err(error) => {
            bail!("the order could not be placed: the gateway at {gateway} {}", http::brief(&error))
        }
        Ok(response) => response,
    };
    if response.status() != StatusCode::CREATED {
        let status = response.status();
        let body = response.text().await.unwrap_or_default();
        bail!("the order was not accepted: {gateway} answered {status}\n  {}", body.trim());
    }
    response.json().await.context("the gateway's answer to the order is not the documented one")
}

/// The trace of an order: as the gateway knows it, else as the log files do.
pub async fn trace_id(client: &Client, gateway: &str, log_dir: &Path, id: &str) -> Result<String> {
    if Uuid::parse_str(id).is_err() {
        bail!("`{id}` is no order id: those look like 0198c0de-7a3b-7c1d-9e2f-0123456789ab");
    }
    let request = client.get(format!("{gateway}/orders/{id}")).send().await;
    if let Ok(answer) = request
        && answer.status() == StatusCode::OK
        && let Ok(order) = answer.json::<Order>().await
    {
        return Ok(order.trace_id);
    }
    // The first line about an order is part of placing it; asking for it later is another trace.
    let lines = logs::read(log_dir, &Filter::order(log_dir, id)?, None)?;
    let traced = lines.iter().find(|line| line.order() == Some(id)).and_then(|line| line.trace());
    traced.map(str::to_owned).with_context(|| {
        format!("neither the gateway at {gateway} nor the log files in {} know order {id}", log_dir.display())
    })
}
