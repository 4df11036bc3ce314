//! A queued statement or write, type-erased, with its reply channel.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use crate::{Session, StoreError};

pub(crate) trait Job: Send {
    /// Runs it and keeps its output. May run again after a rollback.
    fn run<'a>(&'a mut self, session: &'a Session<'_>) -> LocalBoxFuture<'a, Result<(), StoreError>>;
    /// Answers with the output, and hands over the jobs that are to be answered next; returns them if the caller has
    /// gone.
    fn succeed(&mut self, followers: Followers) -> Option<Followers>;
    /// Answers with an error, unless it is answered.
    fn fail(&mut self, error: StoreError);
}

/// The answer of a job.
pub(crate) type Answer<T> = oneshot::Receiver<(Result<T, StoreError>, Followers)>;

/// Jobs that have succeeded, and are answered when this is dropped.
///
/// The caller of one job gets those of its group along with its own answer, and wakes their callers. They mostly share
/// its thread, which is awake by then: answered by the thread of the database, each would wake it anew.
#[derive(Default)]
pub(crate) struct Followers(Vec<Box<dyn Job>>);

impl Followers {
    pub(crate) fn new(jobs: Vec<Box<dyn Job>>) -> Self {
        Self(jobs)
    }

    /// Answers the first job whose caller is still there, which has the others answered.
    pub(crate) fn answer(mut self) {
        while let Some(mut first) = self.0.pop() {
            match first.succeed(std::mem::take(&mut self)) {
                Some(others) => self = others,
                None => return,
            }
        }
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        for mut job in self.0.drain(..) {
            let _ = job.succeed(Self::default());
        }
    }
}

/// A job that runs `work`, and the receiver of its answer.
pub(crate) fn job<T, F>(work: F) -> (Box<dyn Job>, Answer<T>)
where
    T: Send + 'static,
    F: AsyncFn(&Session<'_>) -> Result<T, StoreError> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Pending { work, output: None, reply: Some(reply) }), answer)
}

struct Pending<T, F> {
    work: F,
    output: Option<T>,
    reply: Option<oneshot::Sender<(Result<T, StoreError>, Followers)>>,
}

impl<T, F> Pending<T, F> {
    /// The caller may have gone; what is committed stays.
    fn answer(&mut self, answer: Result<T, StoreError>, followers: Followers) -> Option<Followers> {
        match self.reply.take() {
            Some(reply) => reply.send((answer, followers)).err().map(|(_, followers)| followers),
            None => Some(followers),
        }
    }
}

impl<T, F> Job for Pending<T, F>
where
    T: Send,
    F: AsyncFn(&Session<'_>) -> Result<T, StoreError> + Send,
{
    fn run<'a>(&'a mut self, session: &'a Session<'_>) -> LocalBoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async {
            // A panic is the fault of this job alone: the transaction is rolled back, and the thread goes on.
            let output = AssertUnwindSafe((self.work)(session)).catch_unwind().await;
            self.output = Some(output.unwrap_or(Err(StoreError::Panicked))?);
            Ok(())
        })
    }

    fn succeed(&mut self, followers: Followers) -> Option<Followers> {
        let answer = self.output.take().ok_or(StoreError::Closed);
        self.answer(answer, followers)
    }

    fn fail(&mut self, error: StoreError) {
        let _ = self.answer(Err(error), Followers::default());
    }
}
