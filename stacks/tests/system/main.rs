//! System tests: the real binaries and a real broker. Each test has a virtual host, ports and a directory of its own, and
//! removes them at its end. `make test` lends the broker.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod harness;

mod alertmanager;
mod backup;
mod bad_input;
mod bad_messages;
mod breaker;
mod console;
mod drill;
mod durability;
mod elk;
mod healthcheck;
mod idempotency;
mod injection;
mod joining;
mod lifecycle;
mod load;
mod logs;
mod metrics;
mod openmetrics;
mod operate;
mod order;
mod otlp_outage;
mod overload;
mod payment;
mod prove;
mod proxies;
mod queries;
mod registry;
mod replicas;
mod secrets;
mod settings;
mod simulation;
mod smtp;
mod tls;
mod trace;
mod up;
mod upgrade;
