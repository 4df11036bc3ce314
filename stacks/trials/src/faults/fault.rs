//! The ways to break the system.

use stacks::{local::layout::Component, process::Signal};
use testkit::smtp::State;

/// Clients that send a request head and one byte of the body.
pub(crate) const SLOW_BODIES: usize = 300;
/// Descriptors that a service may have, where they are few.
pub(crate) const FEW_DESCRIPTORS: usize = 256;
/// Clients of the other faults by clients, at once.
pub(crate) const CROWD: usize = 32;

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
    /// Exhausts a resource of the broker for these seconds: a command of `rabbitmqctl`, its bad value and its good value.
    BrokerAlarm(&'static str, [&'static str; 2], u64),
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
    /// Deletes the queue of the mailer once it is empty, and declares it with other arguments for a while.
    QueueRedeclared,
    /// Removes the binding of the queue of the mailer for a while.
    Unroutable,
    /// Delivers events three times.
    Duplicates,
    /// Sends the mailer messages that it cannot read.
    Poison,
    /// Puts the mail server into this state for a while.
    Mail(State),
    /// Gives the mail server a first address that never answers.
    MailFirstAddressDead,
    /// Lets the mail server refuse e-mails for good, then replays the dead letters.
    MailNever,
    /// Locks the database of a service by another process.
    Locked(Component),
    /// Locks the database of the mailer and kills the mailer meanwhile.
    LockedAndKilled,
    /// Fills the disk of both databases.
    DiskFull,
    /// Lets each write to the disk of both databases wait, without an error.
    DiskHangs,
    /// Damages the oldest row that waits in the outbox or the inbox of a service, and repairs it afterwards.
    Undecodable(Component),
    /// Starts a second process on the database file of a service: on another port, and on the same one.
    SecondProcess(Component),
    /// Sets the clock of all services while leases and retries are pending: by these hours, back if they are negative.
    ClockSet(i64),
    /// Stops one of two replicas of payment (SIGSTOP) while its transaction holds rows of PostgreSQL.
    StoppedInTransaction,
    /// Kills one of two replicas of payment while it holds leases on events.
    KilledWithLeases,
    /// Kills PostgreSQL and starts it again.
    PostgresKilled,
    /// Sends the same order with the same key by many requests at once.
    Crowd,
    /// Sends orders whose clients end their half of the connection at once.
    HalfClosed,
    /// Holds many connections with unfinished bodies beside the good clients.
    SlowBodies,
    /// Limits the descriptors of the services, and wants more connections of the gateway than it has.
    FewDescriptors,
    /// Sends the gateway what is no order, and what is no HTTP.
    BadRequests,
    /// Gives payment each request, and the gateway a 502 for its answer.
    LostAnswers,
    /// Lets the receiver of telemetry refuse, hang and disappear.
    TelemetryReceiver,
    /// Damages the files of telemetry that wait for the receiver.
    SpoolDamaged,
    /// Makes PostgreSQL read-only; old sessions stay so, as after a failover.
    ReadOnly,
    /// PostgreSQL ends all sessions, and refuses new ones for a while.
    NoSessions,
}

impl Fault {
    /// The clients that it adds to the good ones.
    pub(crate) fn more_clients(self) -> usize {
        match self {
            Self::SlowBodies => SLOW_BODIES,
            Self::FewDescriptors => FEW_DESCRIPTORS,
            Self::Crowd | Self::HalfClosed | Self::BadRequests => CROWD,
            _ => 0,
        }
    }

    /// Why no signal has to show it, if none has to.
    pub(crate) fn hidden(self) -> Option<&'static str> {
        match self {
            Self::Nothing => Some("nothing is broken"),
            Self::SecondProcess(_) => {
                Some("the second process is refused, and says why on its standard error")
            }
            Self::Mail(State::OneEach) => Some("each e-mail is sent at once, over a session of its own"),
            _ => None,
        }
    }
}
