//! Clients with an address of their own, or with one that a header names.

use std::net::Ipv4Addr;

use reqwest::{Client, StatusCode};
use stacks::http;

/// A client at an address of this machine.
pub(super) fn client_at(address: Ipv4Addr) -> Client {
    Client::builder().no_proxy().local_address(Some(address.into())).build().unwrap()
}

/// Asks for an order that does not exist, as a client that a proxy names.
pub(super) async fn ask(client: &Client, gateway: &str, forwarded_for: &str) -> StatusCode {
    let asked = client.get(format!("{gateway}/orders/none")).header("x-forwarded-for", forwarded_for);
    asked.send().await.unwrap().status()
}

/// Of twenty requests, those above the limit.
pub(super) async fn refused(gateway: &str, forwarded_for: impl Fn(usize) -> String) -> usize {
    refused_of(&http::client().unwrap(), gateway, forwarded_for).await
}

/// Of twenty requests of this client, those above the limit.
pub(super) async fn refused_of(
    client: &Client,
    gateway: &str,
    forwarded_for: impl Fn(usize) -> String,
) -> usize {
    let mut refused = 0;
    for number in 0..20 {
        refused += usize::from(ask(client, gateway, &forwarded_for(number)).await == 429);
    }
    refused
}
