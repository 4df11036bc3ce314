//! The stacks: [`Stack`] names them, and one row of the table in `table.rs` holds everything in which they differ.
//!
//! A new stack is a variant of [`Stack`] with its row, a Compose file below `stacks/`, and a module of
//! [`backends`](crate::backends) for a server that no other stack has.

mod backends;
mod connect;
mod places;
mod running;
mod table;

pub use self::{
    backends::Backends,
    places::{Place, Places},
    running::{of_containers, running},
    table::{Facts, Language, Stack},
};
