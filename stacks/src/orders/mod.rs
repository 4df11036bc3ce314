//! Orders as a client of the gateway places them: one, or many at a rate.
//!
//! `load`, `prove`, `drill`, `bench` and the fault tests place theirs here, and every request carries the user agent by
//! which the services tell synthetic orders from those of customers.

mod client;
mod generator;
mod mix;

pub use self::{
    client::{Answered, Client, Order},
    generator::{MAX_UNDER_WAY, Pace, Schedule},
    mix::{Mix, Sort, body},
};
