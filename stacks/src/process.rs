//! Processes that outlive the command that started them.
//!
//! A pid can be reused; the pid together with the start time identifies a process.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use procfs::{
    Current as _,
    process::{ProcState, Stat},
};
use rustix::process::{Pid, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

pub use rustix::process::Signal;

/// The identity of a process, for other processes and later times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The process id, which is also the id of its process group.
    pub pid: i32,
    /// The start time in clock ticks since boot (`/proc/<pid>/stat`).
    pub started: u64,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It had ended before.
    Already,
    /// It ended in time.
    Gracefully,
    /// It was killed.
    Killed,
}

impl Process {
    /// The process that has this pid now.
    ///
    /// # Errors
    /// When no process has it.
    pub fn of(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid)?;
        let stat = stat(pid).with_context(|| format!("cannot find process {pid}"))?;
        Ok(Self { pid, started: stat.starttime })
    }

    /// True if the process runs; one that ended and was not yet reaped does not.
    pub fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|stat| {
            let ended = matches!(stat.state(), Ok(ProcState::Zombie | ProcState::Dead));
            stat.starttime == self.started && !ended
        })
    }

    /// The time since its start.
    pub fn uptime(&self) -> Duration {
        let started = self.started as f64 / procfs::ticks_per_second() as f64;
        let now = procfs::Uptime::current().map_or(started, |uptime| uptime.uptime);
        Duration::try_from_secs_f64(now - started).unwrap_or_default()
    }

    /// Sends a signal, unless the process is gone.
    pub fn signal(&self, signal: Signal) {
        if let (true, Some(pid)) = (self.is_alive(), Pid::from_raw(self.pid)) {
            // It may end between the check and the signal.
            let _ = kill_process(pid, signal);
        }
    }

    /// Stops the process: SIGTERM, and after `grace` SIGKILL for its group. Blocks the thread.
    pub fn stop(&self, grace: Duration) -> Stopped {
        if !self.is_alive() {
            return Stopped::Already;
        }
        self.signal(Signal::TERM);
        if self.ends_within(grace) {
            return Stopped::Gracefully;
        }
        self.kill();
        Stopped::Killed
    }

    /// Kills the process and its group, as a crash would. Blocks until the process has ended.
    pub fn kill(&self) {
        if let (true, Some(pid)) = (self.is_alive(), Pid::from_raw(self.pid)) {
            let _ = kill_process_group(pid, Signal::KILL);
            self.ends_within(Duration::from_secs(5));
        }
    }

    /// True if the process ends in this time. Blocks the thread.
    #[expect(
        clippy::disallowed_methods,
        reason = "no arbiter here; also used while dropping, where nothing can be awaited"
    )]
    pub fn ends_within(&self, grace: Duration) -> bool {
        let deadline = Instant::now() + grace;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

fn stat(pid: i32) -> Option<Stat> {
    procfs::process::Process::new(pid).and_then(|process| process.stat()).ok()
}

/// Starts a command that outlives this process: in a process group of its own, so that Ctrl-C in the terminal does not
/// reach it.
///
/// # Errors
/// When the program cannot be started.
pub fn spawn_detached(command: &mut Command, stdout: Stdio, stderr: File) -> io::Result<Child> {
    command.process_group(0).stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn()
}

/// Opens a file for appending, and returns its length.
///
/// # Errors
/// When the file cannot be opened.
pub fn append(path: &Path) -> Result<(File, u64)> {
    let open = || -> io::Result<(File, u64)> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    };
    open().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_reused_pid_is_left_alone() {
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let real = Process::of(child.id()).unwrap();
        let other = Process { started: real.started + 1, ..real };

        assert!(!other.is_alive());
        assert_eq!(other.stop(Duration::ZERO), Stopped::Already);
        other.kill();
        assert!(real.is_alive());

        assert_eq!(real.stop(Duration::from_secs(5)), Stopped::Gracefully);
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_ignores_sigterm_is_killed() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo; while :; do sleep 1; done"])
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The first byte says that the trap is set.
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let process = Process::of(child.id()).unwrap();
        assert_eq!(process.stop(Duration::from_millis(100)), Stopped::Killed);
        assert!(!process.is_alive());
        child.wait().unwrap();
    }
}
