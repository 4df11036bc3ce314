//! The Docker stacks, each a Compose file below `stacks/` that includes the services.
//!
//! The engine alone knows what runs; nothing is remembered here. All stacks are one Compose project, so that ELK can run
//! beside Classic or LGTM: the services then send to both.

pub mod check;
mod credentials;
pub mod doctor;
mod down;
pub mod engine;
pub mod files;
mod guide;
pub mod plan;
pub mod service;
mod start;
mod up;
pub mod variables;

pub use self::{
    down::{down, down_all},
    up::{bring_up, refuse_beside_docker, up},
};
