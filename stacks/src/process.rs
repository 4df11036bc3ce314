//! Processes that outlive the command that started them: spawning, recognising and stopping them.
//! A pid alone is not an identity, it may be reused; the pid with the time of its start is.

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

/// A process that can be recognised later, by another process, even when its pid is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its process id, which is also the id of its process group.
    pub pid: i32,
    /// When it was started, in clock ticks since boot (`/proc/<pid>/stat`).
    pub started: u64,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It was not running any more.
    Already,
    /// It ended within the time it was given.
    Gracefully,
    /// It had to be killed.
    Killed,
}

impl Process {
    /// The process that has this pid now.
    pub fn of(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid)?;
        let stat = stat(pid).with_context(|| format!("process {pid} is gone already"))?;
        Ok(Self { pid, started: stat.starttime })
    }

    /// Whether it still runs; one that ended and was not yet reaped does not.
    pub fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|stat| {
            let ended = matches!(stat.state(), Ok(ProcState::Zombie | ProcState::Dead));
            stat.starttime == self.started && !ended
        })
    }

    /// How long it has been running.
    pub fn uptime(&self) -> Duration {
        let started = self.started as f64 / procfs::ticks_per_second() as f64;
        let now = procfs::Uptime::current().map_or(started, |uptime| uptime.uptime);
        Duration::try_from_secs_f64(now - started).unwrap_or_default()
    }

    /// Sends a signal, unless the process is gone.
    pub fn signal(&self, signal: Signal) {
        if let (true, Some(pid)) = (self.is_alive(), Pid::from_raw(self.pid)) {
            // It may end between the look and the signal: then there is nobody left to tell.
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends it: SIGTERM, and after `grace` SIGKILL for its whole group. Blocks the thread.
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

    /// Ends it and its group at once, as a crash would. Blocks until it is gone.
    pub fn kill(&self) {
        if let (true, Some(pid)) = (self.is_alive(), Pid::from_raw(self.pid)) {
            let _ = kill_process_group(pid, Signal::KILL);
            self.ends_within(Duration::from_secs(5));
        }
    }

    /// Whether it ends by itself in this time. Blocks the thread.
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

/// Starts a command that is to outlive us: in a process group of its own, so that Ctrl-C in our
/// terminal is not meant for it, and with `log` in place of our standard output and error.
pub fn spawn_detached(command: &mut Command, stdout: Stdio, stderr: File) -> io::Result<Child> {
    command.process_group(0).stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn()
}

/// Opens a file for appending and tells how long it already is.
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
    fn a_reused_pid_is_a_stranger_and_left_alone() {
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let real = Process::of(child.id()).unwrap();
        let stranger = Process { started: real.started + 1, ..real };

        assert!(!stranger.is_alive());
        assert_eq!(stranger.stop(Duration::ZERO), Stopped::Already);
        stranger.kill();
        assert!(real.is_alive());

        assert_eq!(real.stop(Duration::from_secs(5)), Stopped::Gracefully);
        child.wait().unwrap();
    }

    #[test]
    fn what_ignores_sigterm_is_killed() {
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
