//! The console: one page that shows an order through everything, on every stack. It places orders, shows each one travel,
//! breaks things, and shows alerts arrive.
//!
//! ```text
//!  page ──► server ──► guard, session        who may ask
//!             │
//!             ├──► journey                   one order, from every backend of the stack
//!             ├──► live ──► hub              orders, metrics and components as they change
//!             └──► actions                   orders, simulations, components, drills, dead letters
//! ```
//!
//! The browser gets no token of a service and asks no backend: every question goes through here, with a deadline.

mod actions;
mod ask;
mod beside;
mod guard;
mod hub;
mod journey;
mod links;
mod live;
mod page;
mod server;
mod session;
mod shared;

pub use self::{
    beside::{ConsoleArgs, console},
    server::serve,
};
pub(crate) use self::{
    beside::{start, stop},
    session::{TOKEN, link},
};
