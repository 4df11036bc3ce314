//! Faults of messages: duplicates, and messages that the mailer cannot read.

use anyhow::Result;

use crate::faults::{rabbit::QUEUE, scene::Scene};

/// The queue that collects the events to be delivered again.
const TAP: &str = "faults.tap";

/// Events that are delivered again: the management API takes one at a time, and a campaign has hundreds each second.
const MAX_COPIED: usize = 200;

/// Bodies that are not events, in Base64.
const UNREADABLE: [&str; 10] = [
    "",
    "bm8gSlNPTiBhdCBhbGw=",             // no JSON at all
    "e30=",                             // {}
    "bnVsbA==",                         // null
    "W10=",                             // []
    "/wB7IQ==",                         // bytes that are not UTF-8
    "77u/e30=",                         // {} after a byte order mark
    "eyJzcGVjdmVyc2lvbiI6IjEuMCJ9",     // {"specversion":"1.0"}
    "eyJpZCI6ICJcdWQ4MDAifQ==",         // {"id": "\ud800"}
    "W1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tb", // [[[[[[[[[[[[[[[[[[[[[[[[
];

pub(super) async fn duplicate(scene: &mut Scene<'_>) -> Result<()> {
    let rabbit = scene.system.rabbit.clone();
    rabbit.tap(TAP).await?;
    scene.wait(1500..2500).await;
    // The tap would get the copies, too.
    rabbit.unbind(TAP).await?;
    let messages = rabbit.take(TAP).await?;
    anyhow::ensure!(!messages.is_empty(), "no event came to {TAP} beside {QUEUE}");
    for message in messages.iter().take(MAX_COPIED).chain(messages.iter().take(MAX_COPIED).rev()) {
        rabbit.publish(message).await?;
    }
    rabbit.delete(TAP).await
}

pub(super) async fn poison(scene: &mut Scene<'_>) -> Result<()> {
    for _ in 0..3 {
        for payload in UNREADABLE {
            scene.system.poison(payload).await?;
        }
        scene.wait(300..600).await;
    }
    Ok(())
}
