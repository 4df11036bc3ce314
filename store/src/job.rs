//! A queued statement or write, type-erased, with its reply channel.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use crate::{Session, StoreError};

pub(crate) trait Job: Send {
    /// Runs it and keeps its output. May run again after a rollback.
    fn run<'a>(&'a mut self, session: &'a Session<'_>) -> LocalBoxFuture<'a, Result<(), StoreError>>;
    /// Answers with the output.
    fn succeed(&mut self);
    /// Answers with an error, unless it is answered.
    fn fail(&mut self, error: StoreError);
}

pub(crate) type Answer<T> = oneshot::Receiver<Result<T, StoreError>>;

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
    reply: Option<oneshot::Sender<Result<T, StoreError>>>,
}

impl<T, F> Pending<T, F> {
    fn answer(&mut self, answer: Result<T, StoreError>) {
        if let Some(reply) = self.reply.take() {
            // The caller may have gone; what is committed stays.
            let _ = reply.send(answer);
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

    fn succeed(&mut self) {
        let answer = self.output.take().ok_or(StoreError::Closed);
        self.answer(answer);
    }

    fn fail(&mut self, error: StoreError) {
        self.answer(Err(error));
    }
}
