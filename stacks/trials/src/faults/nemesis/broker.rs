//! Faults of the broker and of the connection to it.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use stacks::local::layout::Component::{Mailer, Payment};
use tokio::{task::block_in_place, time::sleep};

use super::readiness::{expect_ready, expect_unready};
use crate::{
    faults::{
        rabbit::{QUEUE, UNROUTED},
        scene::Scene,
    },
    proxy::Line,
};

pub(super) async fn stop(scene: &mut Scene<'_>) -> Result<()> {
    block_in_place(|| scene.system.broker.stop());
    scene.system.broker.restart().await
}

pub(super) async fn kill(scene: &mut Scene<'_>) -> Result<()> {
    block_in_place(|| scene.system.broker.kill());
    scene.system.broker.restart().await
}

pub(super) async fn raise_alarm(
    scene: &mut Scene<'_>,
    command: &str,
    [bad, good]: [&str; 2],
    seconds: u64,
) -> Result<()> {
    let before = connections(scene)?;
    scene.system.broker.control(&[command, bad]).await?;
    // At least three times as long as payment waits for a confirm: a connection that is blocked can't be closed, and another one
    // beside it would be blocked, too.
    scene.wait(1000 * (seconds - 1)..1000 * (seconds + 1)).await;
    let after = connections(scene)?;
    scene.system.broker.control(&[command, good]).await?;
    if after > before {
        let violation = format!(
            "payment had {before} connections to the broker before its alarm, and {after} at the end"
        );
        scene.system.bad_endings.push(violation);
    }
    Ok(())
}

/// The number of payment's connections to the broker: lapin has a thread for each.
fn connections(scene: &Scene<'_>) -> Result<usize> {
    let payment = scene.system.stack.process(Payment).context("payment does not run")?;
    let tasks =
        fs::read_dir(format!("/proc/{}/task", payment.pid)).context("cannot read payment's threads")?;
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    Ok(names.filter(|name| name.starts_with("lapin")).count())
}

pub(super) async fn cut(scene: &mut Scene<'_>) -> Result<()> {
    for _ in 0..3 {
        scene.wait(400..1200).await;
        scene.system.line.cut();
    }
    Ok(())
}

pub(super) async fn block(scene: &mut Scene<'_>) -> Result<()> {
    scene.system.line.set(Line::Blocked);
    // Longer than payment waits for a confirm.
    scene.wait(6000..7000).await;
    scene.system.line.set(Line::Open);
    Ok(())
}

/// Repeated, for one cut may come while only a confirm is on its way.
pub(super) async fn vanish(scene: &mut Scene<'_>) -> Result<()> {
    for _ in 0..4 {
        scene.wait(800..1200).await;
        scene.system.line.set(Line::Blocked);
        scene.wait(300..600).await;
        scene.system.line.cut();
        // Held bytes could still pass if the line were open at once.
        scene.wait(50..100).await;
        scene.system.line.set(Line::Open);
    }
    Ok(())
}

pub(super) async fn slow(scene: &mut Scene<'_>) -> Result<()> {
    scene.system.line.set(Line::Slow(Duration::from_millis(100)));
    scene.wait(3000..4000).await;
    scene.system.line.set(Line::Open);
    Ok(())
}

/// Deletes the queue while it is empty: its messages would be deleted with it, and no service could prevent that.
pub(super) async fn delete_queue(scene: &mut Scene<'_>) -> Result<()> {
    scene.load.hold(true);
    drained(scene).await?;
    scene.system.rabbit.delete(QUEUE).await?;
    scene.load.hold(false);
    scene.wait(1500..2000).await;
    publish_unrouted(scene).await
}

/// Puts a queue with other arguments in the place of the empty one. The mailer must say so, and go on by itself once the
/// other queue is gone.
pub(super) async fn redeclare_queue(scene: &mut Scene<'_>) -> Result<()> {
    scene.load.hold(true);
    drained(scene).await?;
    // Else the mailer could declare its queue in between.
    scene.system.line.set(Line::Blocked);
    scene.system.rabbit.delete(QUEUE).await?;
    scene.system.rabbit.declare(QUEUE).await?;
    scene.system.line.cut();
    scene.system.line.set(Line::Open);
    scene.load.hold(false);
    expect_unready(scene, &[Mailer], "its queue has other arguments").await?;
    scene.wait(1000..2000).await;
    scene.system.rabbit.delete(QUEUE).await?;
    expect_ready(scene, &[Mailer], "the queue with other arguments was deleted").await?;
    publish_unrouted(scene).await
}

/// Waits until no event is on its way, while the load is held.
async fn drained(scene: &Scene<'_>) -> Result<()> {
    let mut quiet = 0;
    while quiet < 3 {
        sleep(Duration::from_millis(600)).await;
        quiet = if scene.system.backlog().await?.is_empty() { quiet + 1 } else { 0 };
    }
    Ok(())
}

pub(super) async fn unbind(scene: &mut Scene<'_>) -> Result<()> {
    scene.system.rabbit.unbind(QUEUE).await?;
    scene.wait(1000..2000).await;
    scene.system.rabbit.bind(QUEUE).await?;
    publish_unrouted(scene).await
}

/// Publishes the unrouted events again, as an operator does once the queue is bound.
async fn publish_unrouted(scene: &Scene<'_>) -> Result<()> {
    for message in scene.system.rabbit.take(UNROUTED).await? {
        scene.system.rabbit.publish(&message).await?;
    }
    Ok(())
}
