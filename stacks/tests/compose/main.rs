//! The Compose files of the Docker stacks, and the commands around them, with a script in place of Docker.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod backends;
mod files;
mod machine;
mod refusals;
mod up;
