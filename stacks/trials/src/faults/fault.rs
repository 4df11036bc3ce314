//! The ways to break the system.

use stacks::{local::layout::Component, process::Signal};
use testkit::smtp::State;

/// One way to break the system.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Breaks nothing, for comparison.
    Nothing,
    /// Kills these services at once and starts them again, twice.
    Kill(&'static [Component]),
    /// Kills all services and the broker, and starts them again.
    KillEverything,
    /// Kills one service after the other, chosen at random.
    KillAtRandom,
    /// Ends the service at the crash point that has the name of the fault, twice.
    Crash(Component),
    /// Sends each service this signal, waits for its end, and starts it again.
    End(Signal),
    /// Stops each service for a while (SIGSTOP) and continues it.
    Freeze,
    /// Shuts the broker down and starts it again.
    BrokerStopped,
    /// Kills the broker and starts it again.
    BrokerKilled,
    /// Exhausts a resource of the broker: a command of `rabbitmqctl`, its bad value and its good value.
    BrokerAlarm(&'static str, &'static str, &'static str),
    /// Resets all connections to the broker, three times.
    BrokerCut,
    /// Holds all bytes between the services and the broker.
    BrokerBlocked,
    /// Holds all bytes and then resets all connections, so that the bytes never arrive. Four times.
    BrokerVanishes,
    /// Delays all bytes between the services and the broker.
    BrokerSlow,
    /// Deletes the queue of the mailer once it is empty.
    QueueDeleted,
    /// Removes the binding of the queue of the mailer for a while.
    Unroutable,
    /// Delivers each event three times.
    Duplicates,
    /// Sends the mailer messages that it cannot read.
    Poison,
    /// Puts the mail server into this state for a while.
    Mail(State),
    /// Lets the mail server refuse e-mails for good, then replays the dead letters.
    MailNever,
    /// Locks the database of a service by another process.
    Locked(Component),
    /// Locks the database of the mailer and kills the mailer meanwhile.
    LockedAndKilled,
    /// Fills the disk of both databases.
    DiskFull,
    /// Damages the oldest row that waits in the outbox or the inbox of a service, and repairs it afterwards.
    Undecodable(Component),
    /// Starts a second process on the database file of a service: on another port, and on the same one.
    SecondProcess(Component),
    /// Sets the clock of all services back while leases and retries are pending.
    ClockSetBack,
    /// Stops one of two replicas of payment (SIGSTOP) while its transaction holds rows of PostgreSQL.
    StoppedInTransaction,
    /// Makes PostgreSQL read-only; old sessions stay so, as after a failover.
    ReadOnly,
}
