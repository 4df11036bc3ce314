//! A further process of a service, beside the one of the stack.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use stacks::{
    address,
    local::{LocalStack, layout::Component},
    process::{Process, append, spawn_detached},
};

/// The process. Dropping it kills it.
pub(crate) struct Replica {
    /// The address that it listens on.
    pub(crate) address: SocketAddr,
    /// The process.
    pub(crate) process: Process,
    child: Child,
}

impl Replica {
    /// Starts a process of a service on this address, or on a free one; its settings are those of the stack, and these.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(
        stack: &LocalStack,
        service: Component,
        address: Option<SocketAddr>,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let address = address.map_or_else(address::free, Ok)?;
        let mut command: Command = stack.command(service)?;
        command.env(format!("{}_LISTEN", service.name().to_uppercase()), address.to_string());
        command.envs(settings.iter().copied());
        let (stderr, _) = append(&stack.log_dir().join(format!("second-{service}.err")))?;
        let child = spawn_detached(&mut command, Stdio::null(), stderr);
        let child = child.with_context(|| format!("cannot start a second {service}"))?;
        let process = Process::of(child.id())?;
        Ok(Self { address, process, child })
    }

    /// The exit code, if it ends within this time, and without a signal. Blocks the thread.
    pub(crate) fn exit_code(&mut self, limit: Duration) -> Option<i32> {
        if !self.process.ends_within(limit) {
            return None;
        }
        self.child.wait().ok()?.code()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.process.kill();
        // Reaps it.
        let _ = self.child.wait();
    }
}
