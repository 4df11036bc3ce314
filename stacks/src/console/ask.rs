//! A question to a backend, with a deadline and a state that the page shows.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use tokio::time::timeout;

use crate::backends::lines::Query;

/// The time in which a backend must answer.
pub(super) const DEADLINE: Duration = Duration::from_secs(4);

/// The state of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Something was found.
    Found,
    /// The backend has answered, and there is nothing.
    Nothing,
    /// The backend has answered with an error, or not at all.
    Failed,
}

/// The answer to one question.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<T> {
    /// What was asked for.
    pub(super) part: &'static str,
    pub(super) state: State,
    /// Milliseconds until the answer.
    pub(super) took: u64,
    /// Why the question has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// The question, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query: Option<Query>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) found: Option<T>,
}

impl<T> Answer<T> {
    /// Asks for a part; no answer within [`DEADLINE`] is a failure.
    pub(super) async fn to(
        part: &'static str,
        query: Option<Query>,
        question: impl Future<Output = Result<Option<T>>>,
    ) -> Self {
        Self::within(DEADLINE, part, query, question).await
    }

    async fn within(
        deadline: Duration,
        part: &'static str,
        query: Option<Query>,
        question: impl Future<Output = Result<Option<T>>>,
    ) -> Self {
        let asked = Instant::now();
        let (state, reason, found) = match timeout(deadline, question).await {
            Ok(Ok(Some(found))) => (State::Found, None, Some(found)),
            Ok(Ok(None)) => (State::Nothing, None, None),
            Ok(Err(error)) => (State::Failed, Some(format!("{error:#}")), None),
            Err(_) => (State::Failed, Some(format!("no answer within {} s", deadline.as_secs_f64())), None),
        };
        Self { part, state, took: asked.elapsed().as_millis() as u64, reason, query, found }
    }
}

#[cfg(test)]
mod tests {
    use std::future;

    use anyhow::anyhow;

    use super::*;

    #[tokio::test]
    async fn a_question_without_an_answer_fails_at_its_deadline() {
        let answer: Answer<()> =
            Answer::within(Duration::from_millis(20), "traces", None, future::pending()).await;
        assert_eq!(answer.state, State::Failed);
        assert_eq!(answer.reason.as_deref(), Some("no answer within 0.02 s"));
    }

    #[tokio::test]
    async fn nothing_and_an_error_are_different_states() {
        let nothing: Answer<()> = Answer::to("traces", None, async { Ok(None) }).await;
        assert_eq!((nothing.state, nothing.reason), (State::Nothing, None));
        let failed: Answer<()> = Answer::to("traces", None, async { Err(anyhow!("refused")) }).await;
        assert_eq!((failed.state, failed.reason.as_deref()), (State::Failed, Some("refused")));
    }
}
