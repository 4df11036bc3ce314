//! What a service has to say of itself while it cannot work.

use std::time::{Duration, Instant};

use anyhow::Result;
use reqwest::StatusCode;
use stacks::local::layout::Component;
use tokio::time::sleep;

use crate::faults::scene::Scene;

/// Until a service says that it cannot work.
const MAX_NOTICE: Duration = Duration::from_secs(10);
/// Until it says that it can: longer than the longest pause between two attempts.
const MAX_RETURN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Waits until each of these services says that it is not ready. One that does not is a violation.
pub(super) async fn expect_unready(
    scene: &mut Scene<'_>,
    services: &[Component],
    meanwhile: &str,
) -> Result<()> {
    expect(scene, services, false, MAX_NOTICE, &format!("is ready while {meanwhile}")).await
}

/// Waits until each of these services says that it is ready. One that does not is a violation.
pub(super) async fn expect_ready(scene: &mut Scene<'_>, services: &[Component], after: &str) -> Result<()> {
    expect(scene, services, true, MAX_RETURN, &format!("is not ready after {after}")).await
}

async fn expect(
    scene: &mut Scene<'_>,
    services: &[Component],
    wanted: bool,
    limit: Duration,
    violation: &str,
) -> Result<()> {
    for service in services {
        let begun = Instant::now();
        while (scene.system.get(*service, "/readyz").await?.status() == StatusCode::OK) != wanted {
            if begun.elapsed() > limit {
                scene.system.bad_endings.push(format!("{service} says that it {violation}"));
                break;
            }
            sleep(PAUSE).await;
        }
    }
    Ok(())
}
