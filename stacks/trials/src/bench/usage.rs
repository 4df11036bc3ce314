//! What a service uses of the machine and of its database.

use anyhow::{Context as _, Result};
use procfs::process::Process;
use testkit::exposition::Samples;

/// The resources of one service since its start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Seconds of CPU, user and system.
    pub(super) cpu_s: f64,
    /// Context switches of all threads that still run.
    pub(super) switches: u64,
    /// The largest resident set so far, in MiB.
    pub(super) peak_mib: f64,
    /// Statements in its database, and commits; zero where the service has none or does not count them.
    pub(super) statements: u64,
    pub(super) commits: u64,
}

/// True while a process has a thread of this name.
///
/// # Errors
/// When the process has ended.
pub(super) fn has_thread(pid: i32, name: &str) -> Result<bool> {
    let tasks = Process::new(pid).and_then(|process| process.tasks());
    let tasks = tasks.with_context(|| format!("cannot read /proc/{pid}: the service has ended"))?;
    // A thread may end before its status is read.
    let mut names = tasks.filter_map(|task| Some(task.ok()?.status().ok()?.name));
    Ok(names.any(|thread| thread == name))
}

impl Usage {
    /// The resources of a process with these metrics.
    ///
    /// # Errors
    /// When the process has ended.
    pub(super) fn of(pid: i32, metrics: &Samples) -> Result<Self> {
        let counted = |name| metrics.find(name).unwrap_or_default() as u64;
        let usage =
            Self::read(pid).with_context(|| format!("cannot read /proc/{pid}: the service has ended"))?;
        let (statements, commits) = (counted("store_statements_total"), counted("store_commits_total"));
        Ok(Self { statements, commits, ..usage })
    }

    fn read(pid: i32) -> procfs::ProcResult<Self> {
        let process = Process::new(pid)?;
        let stat = process.stat()?;
        let mut switches = 0;
        // A thread may end before its status is read.
        for status in process.tasks()?.filter_map(|task| task.ok()?.status().ok()) {
            switches += status.voluntary_ctxt_switches.unwrap_or_default();
            switches += status.nonvoluntary_ctxt_switches.unwrap_or_default();
        }
        Ok(Self {
            cpu_s: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
            switches,
            peak_mib: process.status()?.vmhwm.unwrap_or_default() as f64 / 1024.0,
            ..Self::default()
        })
    }
}
