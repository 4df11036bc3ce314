//! Trials of the system for its developers: fault tests, mutants, benchmarks, and servers lent to tests.
//!
//! Errors are sentences for the person at the terminal, never matched by code; hence `anyhow`.

pub mod bench;
pub mod campaign;
pub mod compare;
pub mod faults;
pub mod lent;
pub mod mutants;

mod bars;
mod cargo;
mod delay;
mod directory;
mod proxy;
mod report;
mod seed;
