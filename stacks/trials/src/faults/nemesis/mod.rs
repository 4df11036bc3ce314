//! Who breaks the system, and heals it again: what is inflicted is over when it returns.

mod broker;
mod messages;
mod processes;
mod store;

use std::{ops::Range, time::Duration};

use anyhow::{Context as _, Result};
use reqwest::Method;
use testkit::smtp::{Behavior, State};
use tokio::time::sleep;

pub(crate) use self::store::SmallDisk;
use super::{load::Load, system::System};
use stacks::{local::layout::Component, process::Signal};

/// Something that can be broken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// All is well, for comparison.
    Nothing,
    /// These services are killed at once, and started again, twice.
    Kill(&'static [Component]),
    /// The same for the services and the broker, once.
    KillEverything,
    /// A service after the other, any of them, at any time.
    KillAtRandom,
    /// The service kills itself at the point of its code that has the name of the fault, twice.
    Crash(Component),
    /// Every service is asked to end by this signal, and started again.
    End(Signal),
    /// Every service is stopped and continued.
    Freeze,
    /// The broker is shut down and started again.
    BrokerStopped,
    /// The broker is killed and started again.
    BrokerKilled,
    /// The broker runs out of a resource: a command of `rabbitmqctl`, its value for that, and for being well.
    BrokerAlarm(&'static str, &'static str, &'static str),
    /// Every connection to the broker is reset, three times.
    BrokerCut,
    /// Nothing passes between the services and the broker.
    BrokerBlocked,
    /// The same, and then every connection is reset: what was under way never arrives. Four times.
    BrokerVanishes,
    /// Everything takes its time between the services and the broker.
    BrokerSlow,
    /// The mailer's queue is deleted, once it is empty.
    QueueDeleted,
    /// The mailer's queue is bound for nothing.
    Unroutable,
    /// Every event is delivered three times.
    Duplicates,
    /// Messages come that nobody can read.
    Poison,
    /// The mail server does this with every n-th e-mail.
    Mail(State),
    /// The mail server refuses e-mails for good; an operator puts them back.
    MailNever,
    /// Another process holds the lock on the database of a service.
    Locked(Component),
    /// The same for the mailer, which is killed meanwhile.
    LockedAndKilled,
    /// The disk of both databases is full.
    DiskFull,
}

/// One who breaks the system while the clients are at work.
pub(crate) struct Nemesis<'a> {
    /// What is broken.
    pub(crate) system: &'a mut System,
    /// The clients.
    pub(crate) load: &'a Load,
    /// Decides when, and how long.
    pub(crate) dice: fastrand::Rng,
}

impl Nemesis<'_> {
    /// Breaks something, and heals it again.
    ///
    /// # Errors
    /// When it could not be broken or healed as it should: nothing is known about the system then.
    pub(crate) async fn inflict(&mut self, (name, fault): (&str, Fault)) -> Result<()> {
        self.wait(500..1000).await;
        match fault {
            Fault::Nothing => Ok(()),
            Fault::Kill(services) => self.kill(services).await,
            Fault::KillEverything => self.kill_everything().await,
            Fault::KillAtRandom => self.kill_at_random().await,
            Fault::Crash(service) => self.crash(service, name).await,
            Fault::End(signal) => self.end(signal).await,
            Fault::Freeze => self.freeze().await,
            Fault::BrokerStopped => self.stop_broker().await,
            Fault::BrokerKilled => self.kill_broker().await,
            Fault::BrokerAlarm(command, bad, good) => self.alarm_broker(command, bad, good).await,
            Fault::BrokerCut => self.cut_broker().await,
            Fault::BrokerBlocked => self.block_broker().await,
            Fault::BrokerVanishes => self.lose_broker().await,
            Fault::BrokerSlow => self.slow_broker().await,
            Fault::QueueDeleted => self.delete_queue().await,
            Fault::Unroutable => self.misroute().await,
            Fault::Duplicates => self.duplicate().await,
            Fault::Poison => self.poison().await,
            Fault::Mail(state) => {
                self.disturb_mail(state).await;
                Ok(())
            }
            Fault::MailNever => self.refuse_mail().await,
            Fault::Locked(service) => self.lock(service).await,
            Fault::LockedAndKilled => self.lock_and_kill().await,
            Fault::DiskFull => self.fill_disk().await,
        }
        .with_context(|| format!("the fault {name} could not be inflicted"))
    }

    async fn disturb_mail(&mut self, state: State) {
        self.system.mail.set(state);
        self.wait(1500..2500).await;
        self.system.mail.set(State::Up(Behavior::Accept, 1));
    }

    async fn refuse_mail(&mut self) -> Result<()> {
        self.disturb_mail(State::Up(Behavior::Refuse("550 no such customer"), 2)).await;
        // For what was refused last to be given up.
        self.wait(500..800).await;
        self.system.dead_letters(Method::POST, "/dead-letters/replay").await.map(drop)
    }

    /// Waits for a time within these milliseconds.
    async fn wait(&mut self, milliseconds: Range<u64>) {
        sleep(Duration::from_millis(self.dice.u64(milliseconds))).await;
    }
}
