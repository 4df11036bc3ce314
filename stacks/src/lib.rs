//! What the services run on and are observed with. This crate starts, stops and inspects it and
//! knows the services by their public HTTP, AMQP and log files alone: it depends on none of them.
//!
//! Errors are sentences for the person at the terminal, never matched by code; hence `anyhow`.

pub mod commands;

pub mod check;
pub mod compose;
pub mod drill;
pub mod local;
pub mod trace_backend;

pub mod backends;
pub mod dead_letters;
pub mod load;
pub mod logs;
pub mod order;
pub mod prove;
pub mod trace;

pub mod http;
pub mod process;
pub mod progress;
pub mod signals;
pub mod style;
