//! Trials of the system for its developers: fault tests, mutants, benchmarks, and servers lent to tests.
//!
//! Errors are sentences for the person at the terminal, never matched by code; hence `anyhow`.

pub mod bench;
pub mod broker;
pub mod compare;
pub mod faults;
pub mod postgres;
