//! Services that end, by themselves or not.

use std::time::Duration;

use anyhow::Result;

use super::Nemesis;
use stacks::{local::layout::Component, process::Signal};

const CRASH: &str = "CRASH_POINTS";
/// A point that is on the way of every order is passed long before.
const PASSED_WITHIN: Duration = Duration::from_secs(20);

impl Nemesis<'_> {
    pub(super) async fn kill(&mut self, services: &[Component]) -> Result<()> {
        for _ in 0..2 {
            self.wait(300..900).await;
            self.system.kill(services)?;
            self.wait(200..600).await;
            self.system.revive(services).await?;
        }
        Ok(())
    }

    pub(super) async fn kill_everything(&mut self) -> Result<()> {
        self.system.kill(&Component::SERVICES)?;
        self.system.broker.kill();
        self.system.broker.restart().await?;
        self.system.revive(&Component::SERVICES).await
    }

    pub(super) async fn kill_at_random(&mut self) -> Result<()> {
        for _ in 0..6 {
            let service = self.dice.choice(Component::SERVICES).unwrap_or(Component::Payment);
            self.wait(0..600).await;
            self.system.kill(&[service])?;
            self.wait(0..300).await;
            self.system.revive(&[service]).await?;
        }
        Ok(())
    }

    pub(super) async fn crash(&mut self, service: Component, point: &str) -> Result<()> {
        for _ in 0..2 {
            let crash = format!("{point}:{}", self.dice.u32(1..15));
            let started = self.system.restart_with(service, &[(CRASH, Some(&crash))]).await;
            let died = match started {
                // It may pass the point before it is ready.
                Err(error) if self.system.stack.process(service).is_some() => Err(error),
                _ => self.system.death(service, PASSED_WITHIN).await,
            };
            self.system.stack.set(CRASH, None);
            self.system.kill(&[service])?;
            self.system.revive(&[service]).await?;
            died?;
        }
        Ok(())
    }

    pub(super) async fn end(&mut self, signal: Signal) -> Result<()> {
        for service in Component::SERVICES {
            self.wait(200..500).await;
            self.system.end(service, signal)?;
            self.system.revive(&[service]).await?;
        }
        Ok(())
    }

    pub(super) async fn freeze(&mut self) -> Result<()> {
        for service in Component::SERVICES {
            self.system.signal(service, Signal::STOP);
            self.wait(800..1500).await;
            self.system.signal(service, Signal::CONT);
        }
        Ok(())
    }
}
