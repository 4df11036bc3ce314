//! The broker, and the line to it.

use std::time::Duration;

use anyhow::Result;
use tokio::{task::block_in_place, time::sleep};

use super::Nemesis;
use crate::faults::{
    proxy::Line,
    rabbit::{QUEUE, UNROUTED},
};

impl Nemesis<'_> {
    pub(super) async fn stop_broker(&mut self) -> Result<()> {
        block_in_place(|| self.system.broker.stop());
        self.system.broker.restart().await
    }

    pub(super) async fn kill_broker(&mut self) -> Result<()> {
        block_in_place(|| self.system.broker.kill());
        self.system.broker.restart().await
    }

    pub(super) async fn alarm_broker(&mut self, command: &str, bad: &str, good: &str) -> Result<()> {
        self.system.broker.control(&[command, bad]).await?;
        // Longer than payment waits for a confirm.
        self.wait(6000..7000).await;
        self.system.broker.control(&[command, good]).await
    }

    pub(super) async fn cut_broker(&mut self) -> Result<()> {
        for _ in 0..3 {
            self.wait(400..1200).await;
            self.system.line.cut();
        }
        Ok(())
    }

    pub(super) async fn block_broker(&mut self) -> Result<()> {
        self.system.line.set(Line::Blocked);
        // Longer than payment waits for a confirm.
        self.wait(6000..7000).await;
        self.system.line.set(Line::Good);
        Ok(())
    }

    /// More than once, for it may hit a moment when only a confirm is under way.
    pub(super) async fn lose_broker(&mut self) -> Result<()> {
        for _ in 0..4 {
            self.wait(800..1200).await;
            self.system.line.set(Line::Blocked);
            self.wait(300..600).await;
            self.system.line.cut();
            // Otherwise what was held up might still slip through.
            self.wait(50..100).await;
            self.system.line.set(Line::Good);
        }
        Ok(())
    }

    pub(super) async fn slow_broker(&mut self) -> Result<()> {
        self.system.line.set(Line::Slow(Duration::from_millis(100)));
        self.wait(3000..4000).await;
        self.system.line.set(Line::Good);
        Ok(())
    }

    /// What is in a queue goes with it, whoever deletes it; hence it is deleted while nothing is under way.
    pub(super) async fn delete_queue(&mut self) -> Result<()> {
        self.load.hold(true);
        let mut quiet = 0;
        while quiet < 3 {
            sleep(Duration::from_millis(600)).await;
            quiet = if self.system.backlog().await?.is_empty() { quiet + 1 } else { 0 };
        }
        self.system.rabbit.delete(QUEUE).await?;
        self.load.hold(false);
        self.wait(1500..2000).await;
        self.put_unrouted_back().await
    }

    pub(super) async fn misroute(&mut self) -> Result<()> {
        self.system.rabbit.unbind(QUEUE).await?;
        self.wait(1000..2000).await;
        self.system.rabbit.bind(QUEUE).await?;
        self.put_unrouted_back().await
    }

    /// What an operator does once the queue is bound again.
    async fn put_unrouted_back(&mut self) -> Result<()> {
        for message in self.system.rabbit.take(UNROUTED).await? {
            self.system.rabbit.publish(&message).await?;
        }
        Ok(())
    }
}
