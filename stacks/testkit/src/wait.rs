//! Polling with a limit: a test names what it waits for, and fails with that name.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// For how long [`eventually`] waits.
pub const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// The result of one poll: a value, or the reason why there is none yet.
pub trait Poll {
    /// The value.
    type Value;

    /// The value.
    ///
    /// # Errors
    /// The reason why there is none yet.
    fn value(self) -> Result<Self::Value, String>;
}

impl Poll for bool {
    type Value = ();

    fn value(self) -> Result<(), String> {
        self.then_some(()).ok_or_else(|| "it is false".to_owned())
    }
}

impl<T> Poll for Option<T> {
    type Value = T;

    fn value(self) -> Result<T, String> {
        self.ok_or_else(|| "there is none".to_owned())
    }
}

impl<T, E: Display> Poll for Result<T, E> {
    type Value = T;

    fn value(self) -> Result<T, String> {
        self.map_err(|reason| reason.to_string())
    }
}

/// Polls until there is a value.
///
/// # Panics
/// After 30 s without a value, with `what` and the last reason.
pub async fn eventually<P: Poll>(what: &str, poll: impl AsyncFnMut() -> P) -> P::Value {
    poll_for(LIMIT, what, poll).await
}

/// Polls until there is a value, for a thing that takes longer than [`eventually`] waits.
///
/// # Panics
/// After `limit` without a value, with `what` and the last reason.
pub async fn poll_for<P: Poll>(limit: Duration, what: &str, mut poll: impl AsyncFnMut() -> P) -> P::Value {
    let deadline = Instant::now() + limit;
    loop {
        match poll().await.value() {
            Ok(value) => return value,
            Err(reason) if Instant::now() > deadline => panic!("waited {limit:?} for {what}: {reason}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Awaits `future`, so that a deadlock is a failure with a name.
///
/// # Panics
/// After 30 s, with `what`.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {LIMIT:?} for {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn polling_ends_with_the_first_value() {
        let mut polls = 0;
        let found = eventually("the third poll", async || {
            polls += 1;
            if polls == 3 { Ok(polls) } else { Err(format!("poll {polls}")) }
        })
        .await;
        assert_eq!(found, 3);
        eventually("true", async || true).await;
        assert_eq!(eventually("some", async || Some(7)).await, 7);
    }

    #[tokio::test]
    #[should_panic(expected = "waited 50ms for a reply: the last reason")]
    async fn polling_in_vain_tells_what_and_why() {
        poll_for(Duration::from_millis(50), "a reply", async || Err::<(), _>("the last reason")).await;
    }
}
