//! A small actix service as a team would write it, observed by this crate; the modules check what a client, a scraper, a
//! log reader and a trace backend see of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod disconnects;
mod events;
mod flush;
mod handlers;
mod mailboxes;
mod observed;
mod operations;
mod requests;
#[path = "../support/mod.rs"]
mod support;
