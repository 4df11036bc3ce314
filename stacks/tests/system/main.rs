//! The system as its users and its operators see it: the real binaries, a real broker, a stack for each test.
//! `make test` lends the broker; every test has its own vhost, ports and directory, and leaves none of them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "all of this crate is a test")]

mod harness;

mod alertmanager;
mod bad_input;
mod bad_messages;
mod breaker;
mod canaries;
mod drill;
mod durability;
mod elk;
mod healthcheck;
mod idempotency;
mod injection;
mod journey;
mod lifecycle;
mod load;
mod logs;
mod metrics;
mod openmetrics;
mod outage;
mod payment;
mod prove;
mod replicas;
mod settings;
mod simulation;
mod smtp;
mod tls;
mod too_much;
mod trace;
mod up;
mod watched;
