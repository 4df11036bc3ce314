//! Messages that come too often, and messages that should not come at all.

use anyhow::Result;

use super::Nemesis;
use crate::faults::rabbit::QUEUE;

const TAP: &str = "faults.tap";

/// What nobody can read, in Base64.
const UNREADABLE: [&str; 10] = [
    "",
    "bm8gSlNPTiBhdCBhbGw=",             // no JSON at all
    "e30=",                             // {}
    "bnVsbA==",                         // null
    "W10=",                             // []
    "/wB7IQ==",                         // bytes of no text
    "77u/e30=",                         // {} after a byte order mark
    "eyJzcGVjdmVyc2lvbiI6IjEuMCJ9",     // {"specversion":"1.0"}
    "eyJpZCI6ICJcdWQ4MDAifQ==",         // {"id": "\ud800"}
    "W1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tb", // [[[[[[[[[[[[[[[[[[[[[[[[
];

impl Nemesis<'_> {
    pub(super) async fn duplicate(&mut self) -> Result<()> {
        self.system.rabbit.tap(TAP).await?;
        self.wait(1500..2500).await;
        // Otherwise the copies would be copied as well.
        self.system.rabbit.unbind(TAP).await?;
        let messages = self.system.rabbit.take(TAP).await?;
        anyhow::ensure!(!messages.is_empty(), "no event came to {TAP} beside {QUEUE}");
        for message in messages.iter().chain(messages.iter().rev()) {
            self.system.rabbit.publish(message).await?;
        }
        self.system.rabbit.delete(TAP).await
    }

    pub(super) async fn poison(&mut self) -> Result<()> {
        for _ in 0..3 {
            for payload in UNREADABLE {
                self.system.poison(payload).await?;
            }
            self.wait(300..600).await;
        }
        Ok(())
    }
}
