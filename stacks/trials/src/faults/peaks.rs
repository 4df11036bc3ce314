//! Samples the threads, descriptors and memory of the services while a fault lasts and the system recovers.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stacks::{local::layout::Component, process::Process};
use tokio::{task::JoinSet, time::interval};

use super::history::Footprint;

/// Between two samples: a reconnect that keeps its old connection for a second shows in several of them.
const PERIOD: Duration = Duration::from_millis(200);

type Peak = BTreeMap<&'static str, Footprint>;

/// The sampler. Dropping it ends it.
pub(crate) struct Peaks {
    // A set of one task: it ends when the set is dropped.
    _sampling: JoinSet<()>,
    peak: Arc<Mutex<Peak>>,
}

impl Peaks {
    /// Starts to sample the services that are children of this process: those of the stack and their replicas.
    pub(crate) fn start() -> Self {
        let peak = Arc::default();
        let mut sampling = JoinSet::new();
        let shared: Arc<Mutex<Peak>> = Arc::clone(&peak);
        sampling.spawn(async move {
            let mut ticks = interval(PERIOD);
            loop {
                ticks.tick().await;
                raise(&mut lock(&shared), current());
            }
        });
        Self { _sampling: sampling, peak }
    }

    /// The most of each resource that one process of each service had.
    pub(crate) fn stop(self) -> Vec<Footprint> {
        lock(&self.peak).values().cloned().collect()
    }
}

/// The services that are children of this process, with their current footprints; one that ends meanwhile is left out.
pub(crate) fn current() -> Vec<(Process, Footprint)> {
    let names = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| sample(pid, std::process::id())).collect()
}

fn sample(pid: i32, parent: u32) -> Option<(Process, Footprint)> {
    let process = procfs::process::Process::new(pid).ok()?;
    let stat = process.stat().ok()?;
    let is_ours = u32::try_from(stat.ppid) == Ok(parent);
    let service = Component::SERVICES.into_iter().find(|service| is_ours && stat.comm == service.name())?;
    let footprint = Footprint {
        service: service.name(),
        threads: usize::try_from(stat.num_threads).ok()?,
        files: process.fd_count().ok()?,
        memory: stat.rss * procfs::page_size(),
    };
    Some((Process { pid, started: stat.starttime }, footprint))
}

fn raise(peak: &mut Peak, samples: Vec<(Process, Footprint)>) {
    for (_, sample) in samples {
        let highest = peak.entry(sample.service).or_insert_with(|| sample.clone());
        highest.threads = highest.threads.max(sample.threads);
        highest.files = highest.files.max(sample.files);
        highest.memory = highest.memory.max(sample.memory);
    }
}

fn lock(peak: &Mutex<Peak>) -> MutexGuard<'_, Peak> {
    // A panic cannot leave these values inconsistent.
    peak.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peak_may_come_from_another_sample() {
        let footprint = |service, threads, files, memory| {
            (Process { pid: 1, started: 1 }, Footprint { service, threads, files, memory })
        };
        let mut peak = Peak::new();
        raise(&mut peak, vec![footprint("payment", 11, 40, 9), footprint("mailer", 3, 3, 3)]);
        raise(&mut peak, vec![footprint("payment", 10, 60, 8)]);
        let highest: Vec<_> =
            peak.values().map(|one| (one.service, one.threads, one.files, one.memory)).collect();
        assert_eq!(highest, [("mailer", 3, 3, 3), ("payment", 11, 60, 9)]);
    }

    #[test]
    fn a_process_of_another_parent_or_name_is_no_service() {
        assert!(sample(i32::try_from(std::process::id()).unwrap(), std::process::id()).is_none());
        assert!(current().is_empty());
    }
}
