//! Faults of the services' processes.

use std::time::Duration;

use anyhow::Result;
use stacks::{local::layout::Component, process::Signal};

use crate::faults::scene::Scene;

/// Names the crash point, and which passage of it ends the service.
const CRASH: &str = "CRASH_POINTS";
/// Every order passes each crash point, so that the service ends much sooner.
const MAX_PASSAGE: Duration = Duration::from_secs(20);

pub(super) async fn kill(scene: &mut Scene<'_>, services: &[Component]) -> Result<()> {
    for _ in 0..2 {
        scene.wait(300..900).await;
        scene.system.kill(services)?;
        scene.wait(200..600).await;
        scene.system.revive(services).await?;
    }
    Ok(())
}

pub(super) async fn kill_everything(scene: &mut Scene<'_>) -> Result<()> {
    scene.system.kill(&Component::SERVICES)?;
    scene.system.broker.kill();
    scene.system.broker.restart().await?;
    scene.system.revive(&Component::SERVICES).await
}

pub(super) async fn kill_at_random(scene: &mut Scene<'_>) -> Result<()> {
    for _ in 0..6 {
        let service = scene.random.choice(Component::SERVICES).unwrap_or(Component::Payment);
        scene.wait(0..600).await;
        scene.system.kill(&[service])?;
        scene.wait(0..300).await;
        scene.system.revive(&[service]).await?;
    }
    Ok(())
}

pub(super) async fn crash(scene: &mut Scene<'_>, service: Component, point: &str) -> Result<()> {
    for _ in 0..2 {
        let crash = format!("{point}:{}", scene.random.u32(1..15));
        let started = scene.system.restart_with(service, &[(CRASH, Some(&crash))]).await;
        let died = match started {
            // The service may pass the point before it is ready.
            Err(error) if scene.system.stack.process(service).is_some() => Err(error),
            _ => scene.system.death(service, MAX_PASSAGE).await,
        };
        scene.system.stack.set(CRASH, None);
        scene.system.kill(&[service])?;
        scene.system.revive(&[service]).await?;
        died?;
    }
    Ok(())
}

pub(super) async fn end(scene: &mut Scene<'_>, signal: Signal) -> Result<()> {
    for service in Component::SERVICES {
        scene.wait(200..500).await;
        scene.system.end(service, signal)?;
        scene.system.revive(&[service]).await?;
    }
    Ok(())
}

pub(super) async fn freeze(scene: &mut Scene<'_>) -> Result<()> {
    for service in Component::SERVICES {
        scene.system.signal(service, Signal::STOP);
        // Longer than a scraper waits for its page.
        scene.wait(1300..2000).await;
        scene.system.signal(service, Signal::CONT);
    }
    Ok(())
}
