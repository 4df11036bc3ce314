//! Starts, stops and inspects the stacks that the services are observed with. The crate knows the services by their public
//! HTTP, AMQP and telemetry alone, and depends on none of them.
//!
//! ```text
//!  commands · console · load · prove · drill · check · dead_letters      what users run
//!      │          │         │
//!      │          └─ orders ┘                                  orders at a rate
//!      ▼
//!    stack ──► backends                                        the table of the stacks; clients of their servers
//!      │           │
//!      │           └─► registry                                every signal of the services
//!      ├──► local                                              processes on this machine
//!      └──► compose                                            containers
//! ```
//!
//! Errors are sentences for the person at the terminal, and no caller matches on them; hence `anyhow`.

pub mod check;
pub mod commands;
pub mod console;
pub mod dead_letters;
pub mod drill;
pub mod load;
pub mod prove;
pub mod record;

pub mod orders;
pub mod registry;
pub mod trace_backend;

pub mod stack;

pub mod backends;
pub mod compose;
pub mod local;

pub mod logs;
pub mod trace;

pub mod address;
pub mod http;
pub mod latencies;
pub mod output;
pub mod process;
pub mod progress;
pub mod secrets;
pub mod settings;
pub mod signals;
pub mod style;
pub mod table;
