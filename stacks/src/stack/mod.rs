//! The stacks: [`Stack`] names them, and one row of the table in `table.rs` holds everything in which they differ.
//!
//! A new stack is a variant of [`Stack`] with its row, a Compose file below `stacks/`, and a module of
//! [`backends`](crate::backends) for a server that no other stack has.

mod backends;
pub(crate) mod operator;
mod places;
mod running;
mod table;

pub(crate) use self::running::{of_containers, running};
pub use self::{
    backends::Backends,
    places::{Place, Places},
    table::{Facts, Language, Stack},
};
