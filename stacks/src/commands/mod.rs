//! The commands for the local stack. Results go to standard output, progress to standard error.

mod down;
mod logs;
mod order;
mod registry;
mod status;
mod trace;
mod up;

pub use self::{
    down::{DownArgs, down},
    logs::{LogsArgs, logs},
    order::order,
    registry::registry,
    status::status,
    trace::{TraceArgs, trace},
    up::{after_interruption, up},
};
