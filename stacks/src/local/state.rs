//! `var/local.json`: the processes of a stack and their addresses, for the next command to find and stop exactly those.
//! A lock beside it keeps two commands from changing one stack at once.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::layout::{Component, Layout};
use crate::process::Process;

/// A stack as it is remembered between two commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The addresses of all components.
    pub layout: Layout,
    /// The processes that were started and not yet stopped.
    pub processes: BTreeMap<Component, Process>,
}

impl State {
    /// The state as last written; none if no component was left running.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged.
    pub fn read(file: &Path) -> Result<Option<Self>> {
        let text = match fs::read(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", file.display()))?,
        };
        let state = serde_json::from_slice(&text);
        state.map(Some).with_context(|| {
            format!(
                "cannot read {}: not a state; end the processes by hand and remove the file",
                file.display()
            )
        })
    }

    /// Replaces the file as a whole; without processes it is removed.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let write = || -> std::io::Result<()> {
            if self.processes.is_empty() {
                return match fs::remove_file(file) {
                    Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                };
            }
            let next = file.with_extension("json.next");
            fs::write(&next, serde_json::to_vec_pretty(self)?)?;
            fs::rename(next, file)
        };
        write().with_context(|| format!("cannot write {}", file.display()))
    }

    /// The process of a component, if it still runs.
    pub(crate) fn alive(&self, component: Component) -> Option<Process> {
        self.processes.get(&component).copied().filter(Process::is_alive)
    }
}

/// Locks a stack for as long as the returned file is open; the kernel unlocks it after a crash.
pub(crate) fn lock(file: &Path) -> Result<File> {
    let open = File::options().create(true).truncate(false).write(true).open(file);
    let lock = open.with_context(|| format!("cannot write {}", file.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "cannot change the stack: another `stacks` is starting or stopping it; wait until it is done"
            )
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", file.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_and_a_reused_pid_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("local.json");
        assert_eq!(State::read(&file).unwrap(), None);

        let here = Process::of(std::process::id()).unwrap();
        let earlier = Process { started: here.started - 1, ..here };
        let mut state = State {
            layout: Layout::choose(&BTreeMap::new(), true).unwrap(),
            processes: [(Component::Gateway, here), (Component::Mailer, earlier)].into(),
        };
        state.write(&file).unwrap();
        assert_eq!(State::read(&file).unwrap().as_ref(), Some(&state));
        assert_eq!(state.alive(Component::Gateway), Some(here));
        assert_eq!(state.alive(Component::Mailer), None);

        state.processes.clear();
        state.write(&file).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn one_command_at_a_time_changes_a_stack() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("local.lock");
        let first = lock(&file).unwrap();
        assert!(lock(&file).unwrap_err().to_string().contains("another `stacks`"));
        drop(first);
        lock(&file).unwrap();
    }
}
