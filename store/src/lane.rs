//! The thread that owns a connection: takes the jobs that have arrived, runs them as one group, answers each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::error::Cause;
use crate::health::{DEADLINE, Health};
use crate::job::{Answer, Followers, Job, job};
use crate::{Session, StoreError};

/// Jobs in one group; with more, the first would wait long for the last.
pub(crate) const MAX_GROUP: usize = 256;
/// Jobs that may wait; more wait outside of the queue, and their senders have bounds of their own.
const MAX_WAITING: usize = 4096;
/// Jobs in a group without siblings worth waiting for: a caller or two, one after the other.
const FEW: usize = 2;
/// Groups in a row that may be divided because they were late: a server that hangs is given up then.
const MAX_LATE: usize = 3;

/// A connection to a database.
pub(crate) trait Driver {
    /// True if the connection needs the I/O and the timers of the runtime.
    const IS_REMOTE: bool;
    /// Time in which a group gathers while several callers write; zero where a commit takes longer anyway.
    const GATHERING: Duration;

    /// Runs the jobs. A writer commits all of them or none; a reader answers those that fail.
    async fn run(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Failure>;
}

/// The reason why a group did not run.
pub(crate) enum Failure {
    /// One of the writes failed: without it the others may succeed.
    OfOne(StoreError),
    /// The group took too long, and nothing of it was committed.
    Late(StoreError),
    /// It would be the same for each of the writes.
    OfAll(StoreError),
}

/// The queue of a lane; cheap to clone. The thread ends with the last of them.
#[derive(Clone)]
pub(crate) struct Lane(mpsc::Sender<Box<dyn Job>>);

impl Lane {
    /// Starts the thread, and returns once `open` has.
    pub(crate) async fn start<D: Driver>(
        name: &str,
        health: Health,
        open: impl AsyncFnOnce() -> Result<D, StoreError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let cannot_start = |error| StoreError::Open(Cause::Thread(Arc::new(error)));
        let (sender, jobs) = mpsc::channel(MAX_WAITING);
        let (ready, opened) = oneshot::channel();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        if D::IS_REMOTE {
            runtime.enable_all();
        }
        let runtime = runtime.build().map_err(cannot_start)?;
        let work = async move || match open().await {
            Ok(driver) => {
                // The opener may have given up; then the queue is closed, too.
                let _ = ready.send(Ok(()));
                let worker = Worker { driver, health, limit: MAX_GROUP };
                worker.work(jobs).await;
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || runtime.block_on(work())).map_err(cannot_start)?;
        opened.await.map_err(|_| StoreError::Closed)??;
        Ok(Self(sender))
    }

    /// Queues a job and waits for its answer.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: AsyncFn(&Session<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (job, answer): (_, Answer<T>) = job(work);
        self.0.send(job).await.map_err(|_| StoreError::Closed)?;
        let (answer, followers) = answer.await.map_err(|_| StoreError::Closed)?;
        drop(followers);
        answer
    }
}

/// Adds the jobs that arrive within this time. A commit wakes this thread, the disk and each caller's thread, for few jobs
/// as for many: so a group after one of several jobs waits a little for its siblings, as with PostgreSQL's `commit_delay`.
#[expect(clippy::disallowed_methods, reason = "the thread is the store's own")]
fn gather(
    time: Duration,
    jobs: &mut mpsc::Receiver<Box<dyn Job>>,
    group: &mut Vec<Box<dyn Job>>,
    limit: usize,
) {
    std::thread::sleep(time);
    while group.len() < limit
        && let Ok(job) = jobs.try_recv()
    {
        group.push(job);
    }
}

struct Worker<D> {
    driver: D,
    health: Health,
    /// The size of the next group: smaller after a group that was late.
    limit: usize,
}

impl<D: Driver> Worker<D> {
    async fn work(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let (mut group, mut is_busy) = (Vec::new(), false);
        while jobs.recv_many(&mut group, self.limit).await > 0 {
            if is_busy {
                gather(D::GATHERING, &mut jobs, &mut group, self.limit);
            }
            is_busy = group.len() > FEW;
            self.run(std::mem::take(&mut group)).await;
        }
    }

    /// Runs a group. A group that fails because of one write, or is late, is halved until the write is alone.
    async fn run(&mut self, group: Vec<Box<dyn Job>>) {
        let (mut parts, mut late) = (vec![group], 0);
        while let Some(mut part) = parts.pop() {
            if part.len() > self.limit {
                // Another part of the group was late meanwhile.
                let rest = part.split_off(self.limit);
                parts.extend([rest, part]);
                continue;
            }
            let begun = Instant::now();
            self.health.at_work(true);
            let outcome = match self.health.damage() {
                Some(error) => Err(Failure::OfAll(error)),
                None => self.driver.run(&mut part).await,
            };
            self.health.at_work(false);
            if let Err(Failure::Late(_)) = outcome {
                late += 1;
                self.limit = (part.len() / 2).max(1);
            }
            match outcome {
                Ok(()) => {
                    late = 0;
                    self.health.set(None);
                    if begun.elapsed() < DEADLINE / 4 {
                        self.limit = (self.limit + self.limit / 4 + 1).min(MAX_GROUP);
                    }
                    Followers::new(part).answer();
                }
                Err(Failure::OfOne(_) | Failure::Late(_)) if part.len() > 1 && late <= MAX_LATE => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Err(Failure::OfOne(error)) => part.iter_mut().for_each(|job| job.fail(error.clone())),
                Err(Failure::Late(error) | Failure::OfAll(error)) => {
                    self.health.set(Some(error.clone()));
                    for mut job in parts.drain(..).chain([part]).flatten() {
                        job.fail(error.clone());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::LocalBoxFuture;

    use super::*;

    const JOBS: usize = 3000;
    /// The largest group that ends in time while the database is slow.
    const MAX_IN_TIME: usize = 40;
    /// The groups for which it is slow.
    const SLOW_GROUPS: usize = 20;

    struct Counted(Arc<AtomicUsize>);

    impl Job for Counted {
        fn run<'a>(&'a mut self, _: &'a Session<'_>) -> LocalBoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async { Ok(()) })
        }

        fn succeed(&mut self, followers: Followers) -> Option<Followers> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Some(followers)
        }

        fn fail(&mut self, error: StoreError) {
            panic!("{error}");
        }
    }

    /// Keeps the size of each group, and is slow at first.
    #[derive(Clone, Default)]
    struct Slow(Arc<std::sync::Mutex<Vec<usize>>>);

    impl Driver for Slow {
        const IS_REMOTE: bool = false;
        const GATHERING: Duration = Duration::ZERO;

        async fn run(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Failure> {
            let mut sizes = self.0.lock().unwrap();
            sizes.push(jobs.len());
            let is_late = sizes.len() <= SLOW_GROUPS && jobs.len() > MAX_IN_TIME;
            if is_late { Err(Failure::Late(StoreError::Refused(Cause::Late(DEADLINE)))) } else { Ok(()) }
        }
    }

    /// Answers when it is told to, as a disk that hangs.
    struct Hanging(std::sync::mpsc::Receiver<()>);

    impl Driver for Hanging {
        const IS_REMOTE: bool = false;
        const GATHERING: Duration = Duration::ZERO;

        async fn run(&mut self, _: &mut [Box<dyn Job>]) -> Result<(), Failure> {
            self.0.recv().map_err(|_| Failure::OfAll(StoreError::Closed))
        }
    }

    #[tokio::test]
    async fn a_group_that_hangs_is_no_health() {
        let health = Health::default();
        let (answer, answers) = std::sync::mpsc::channel();
        let lane = Lane::start("hanging", health.clone(), async || Ok(Hanging(answers))).await.unwrap();
        let write = tokio::spawn(async move { lane.run(async |_: &Session<'_>| Ok(())).await });
        tokio::time::sleep(DEADLINE / 2).await;
        assert!(health.check().is_ok(), "a group may take a while");
        tokio::time::sleep(DEADLINE).await;
        let hangs = health.check().unwrap_err();
        assert!(matches!(hangs, StoreError::Refused(Cause::Late(_))), "{hangs}");
        answer.send(()).unwrap();
        // The job was not run, so that it has no answer.
        let _ = write.await.unwrap();
        assert!(health.check().is_ok());
    }

    #[tokio::test]
    async fn groups_shrink_while_late_and_grow_again() {
        let (sender, jobs) = mpsc::channel::<Box<dyn Job>>(JOBS);
        let (driver, succeeded) = (Slow::default(), Arc::<AtomicUsize>::default());
        for _ in 0..JOBS {
            assert!(sender.try_send(Box::new(Counted(succeeded.clone()))).is_ok());
        }
        drop(sender);
        let worker = Worker { driver: driver.clone(), health: Health::default(), limit: MAX_GROUP };
        worker.work(jobs).await;
        assert_eq!(succeeded.load(Ordering::Relaxed), JOBS);
        let sizes = driver.0.lock().unwrap();
        assert_eq!(sizes[..4], [MAX_GROUP, MAX_GROUP / 2, MAX_GROUP / 4, MAX_GROUP / 8]);
        let late = sizes[4..SLOW_GROUPS].iter().filter(|size| **size > MAX_IN_TIME).count();
        assert!(late < SLOW_GROUPS / 3, "{late} more groups are late: {sizes:?}");
        assert!(sizes[SLOW_GROUPS..].contains(&MAX_GROUP), "they do not grow again: {sizes:?}");
    }
}
