//! Waiting for something that must come: looked for often, given up in the end, with a message that says what.

use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(25);

/// What `look` finds, as soon as it finds it; its error tells why it has not.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(reason) if Instant::now() > deadline => {
                panic!("waited {} s for {what}: {reason}", LIMIT.as_secs())
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
