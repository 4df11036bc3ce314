//! Faults of the mail server.

use anyhow::Result;
use reqwest::Method;
use testkit::smtp::{Behavior, State};

use crate::faults::scene::Scene;

pub(super) async fn disturb(scene: &mut Scene<'_>, state: State) -> Result<()> {
    if state == State::HeloOnly {
        // Only new sessions say EHLO.
        scene.system.mail.set(State::Down);
        scene.wait(50..100).await;
    }
    scene.system.mail.set(state);
    scene.wait(1500..2500).await;
    scene.system.mail.set(State::Up(Behavior::Accept, 1));
    Ok(())
}

pub(super) async fn refuse_and_replay(scene: &mut Scene<'_>) -> Result<()> {
    disturb(scene, State::Up(Behavior::Refuse("550 no such customer"), 2)).await?;
    // The mailer gives up the e-mail that was refused last.
    scene.wait(500..800).await;
    scene.system.dead_letters(Method::POST, "/dead-letters/replay").await.map(drop)
}
