//! Inflicts a fault and heals it: when a function here returns, the cause is gone.

mod broker;
mod clients;
mod clock;
mod mail;
mod messages;
mod payment;
mod postgres;
mod processes;
mod readiness;
mod rows;
mod store;
mod telemetry;

use anyhow::{Context as _, Result};
use stacks::local::layout::Component;

use super::{catalogue::Named, fault::Fault, scene::Scene};

/// Breaks the system and heals it.
///
/// # Errors
/// When the system could not be broken or healed: its state is unknown then.
pub(crate) async fn inflict(scene: &mut Scene<'_>, (name, fault): Named) -> Result<()> {
    scene.wait(500..1000).await;
    match fault {
        Fault::Nothing => Ok(()),
        Fault::Kill(services) => processes::kill(scene, services).await,
        Fault::KillEverything => processes::kill_everything(scene).await,
        Fault::KillAtRandom => processes::kill_at_random(scene).await,
        Fault::Crash(service) => processes::crash(scene, service, name).await,
        Fault::End(signal) => processes::end(scene, signal).await,
        Fault::Freeze => processes::freeze(scene).await,
        Fault::BrokerStopped => broker::stop(scene).await,
        Fault::BrokerKilled => broker::kill(scene).await,
        Fault::BrokerAlarm(command, values, seconds) => {
            broker::raise_alarm(scene, command, values, seconds).await
        }
        Fault::BrokerCut => broker::cut(scene).await,
        Fault::BrokerBlocked => broker::block(scene).await,
        Fault::BrokerVanishes => broker::vanish(scene).await,
        Fault::BrokerSlow => broker::slow(scene).await,
        Fault::QueueDeleted => broker::delete_queue(scene).await,
        Fault::QueueRedeclared => broker::redeclare_queue(scene).await,
        Fault::Unroutable => broker::unbind(scene).await,
        Fault::Duplicates => messages::duplicate(scene).await,
        Fault::Poison => messages::poison(scene).await,
        Fault::Mail(state) => mail::disturb(scene, state).await,
        Fault::MailFirstAddressDead => mail::deaden_first_address(scene).await,
        Fault::MailNever => mail::refuse_and_replay(scene).await,
        Fault::Locked(service) => store::lock(scene, service).await,
        Fault::LockedAndKilled => store::lock_and_kill(scene).await,
        Fault::DiskFull => store::fill_disk(scene).await,
        Fault::DiskHangs => store::hang_disk(scene).await,
        Fault::SecondProcess(service) => store::start_second(scene, service).await,
        Fault::Undecodable(Component::Payment) => rows::damage_event(scene).await,
        Fault::Undecodable(_) => rows::damage_email(scene).await,
        Fault::ClockSet(hours) => clock::set(scene, hours).await,
        Fault::Crowd => clients::crowd(scene).await,
        Fault::HalfClosed => clients::half_close(scene).await,
        Fault::SlowBodies => clients::slow_bodies(scene).await,
        Fault::FewDescriptors => clients::few_descriptors(scene).await,
        Fault::BadRequests => clients::bad_requests(scene).await,
        Fault::LostAnswers => payment::lose_answers(scene).await,
        Fault::TelemetryReceiver => telemetry::disturb_receiver(scene).await,
        Fault::SpoolDamaged => telemetry::damage_spool(scene).await,
        Fault::KilledWithLeases => postgres::kill_replica(scene).await,
        Fault::PostgresKilled => postgres::kill(scene).await,
        Fault::StoppedInTransaction => postgres::stop_replica(scene).await,
        Fault::ReadOnly => postgres::make_read_only(scene).await,
        Fault::NoSessions => postgres::refuse_sessions(scene).await,
    }
    .with_context(|| format!("cannot inflict the fault {name}"))
}
