//! `var/local.json`: what was started and where it listens, so that another command, later, finds
//! and stops exactly that. Beside it a lock, so that two commands don't change one stack at once.

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

/// What is known about a stack between two commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Where everything listens.
    pub layout: Layout,
    /// What was started and not yet stopped.
    pub processes: BTreeMap<Component, Process>,
}

impl State {
    /// The state as last written, or nothing.
    pub fn read(file: &Path) -> Result<Option<Self>> {
        let text = match fs::read(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", file.display()))?,
        };
        let state = serde_json::from_slice(&text);
        state.map(Some).with_context(|| {
            format!("{} is damaged; end what still runs by hand and remove the file", file.display())
        })
    }

    /// Writes it so that a reader sees the old or the new one, never half of it; without any
    /// process there is nothing to remember.
    pub fn write(&self, file: &Path) -> Result<()> {
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
    pub fn alive(&self, component: Component) -> Option<Process> {
        self.processes.get(&component).copied().filter(Process::is_alive)
    }
}

/// Claims a stack for as long as the returned file is open; the kernel gives it back after a crash.
pub fn lock(file: &Path) -> Result<File> {
    let open = File::options().create(true).truncate(false).write(true).open(file);
    let lock = open.with_context(|| format!("cannot write {}", file.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("another `stacks` is starting or stopping this stack; wait until it is done")
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
    fn what_was_written_is_read_and_a_reused_pid_is_not_ours() {
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
    fn a_stack_is_changed_by_one_command_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("local.lock");
        let first = lock(&file).unwrap();
        assert!(lock(&file).unwrap_err().to_string().contains("another `stacks`"));
        drop(first);
        lock(&file).unwrap();
    }
}
