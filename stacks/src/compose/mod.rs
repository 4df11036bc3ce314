//! The Docker stacks, each a Compose file below `stacks/` that includes the services.
//!
//! The engine alone knows what runs; nothing is remembered here. All stacks are one Compose project, so that ELK can run
//! beside Classic or LGTM: the services then send to both.

pub mod check;
pub(crate) mod container;
mod credentials;
mod doctor;
mod down;
pub(crate) mod engine;
mod files;
mod finding;
mod guide;
mod host;
pub mod plan;
pub mod runbook;
mod service;
mod start;
mod up;
pub mod variables;

pub use self::{
    doctor::doctor,
    down::{down, down_all},
    engine::docker,
    up::{bring_up, refuse_beside_docker, up},
};
