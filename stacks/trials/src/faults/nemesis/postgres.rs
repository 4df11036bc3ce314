//! Faults of PostgreSQL; the databases are on a server of this run already.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use stacks::{
    address::url,
    local::layout::Component::{Gateway, Mailer, Payment},
    process::Signal,
};
use tokio::{task::block_in_place, time::sleep};

use super::readiness::expect_unready;
use crate::{
    faults::{databases::Databases, replica::Replica, scene::Scene},
    lent::Postgres,
    proxy::{Line, Proxy},
};

/// How often a replica is stopped until that is within a transaction.
const MAX_STOPS: usize = 300;
/// Until the server has ended the session of a stopped replica, and the other one has taken orders.
const MAX_HELD: Duration = Duration::from_secs(15);
/// Until a replica holds leases.
const MAX_NOTICE: Duration = Duration::from_secs(10);
/// Until a second replica is ready.
const MAX_READY: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);
/// While PostgreSQL is down.
const DOWN: Duration = Duration::from_secs(1);
/// Orders that the other replica must take meanwhile.
const ORDERS: usize = 10;

/// Sessions of the first replica that wait for it within a transaction which has written.
const HELD: &str = "SELECT string_agg(pid::TEXT, ',') FROM pg_stat_activity \
     WHERE application_name = 'payment' AND state = 'idle in transaction' AND backend_xid IS NOT NULL";

const END_SESSIONS: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('payment', 'mailer')";

const LEASED: &str = "SELECT count(*) FROM outbox WHERE published_at IS NULL AND lease IS NOT NULL";

fn server<'a>(scene: &'a Scene<'_>) -> Result<&'a Postgres> {
    match &scene.system.databases {
        Databases::Server(server) => Ok(server),
        _ => bail!("the databases are not on a server"),
    }
}

/// Stops a replica of payment within a transaction. A proxy leads the gateway to another one meanwhile, as a load
/// balancer does.
pub(super) async fn stop_replica(scene: &mut Scene<'_>) -> Result<()> {
    let first = scene.system.stack.layout().payment;
    let front = Proxy::start(first).await?;
    let database = server(scene)?.url(server(scene)?.address(), "payment") + "?application_name=second";
    let second = Replica::start(&scene.system.stack, Payment, None, &[("PAYMENT_DATABASE_URL", &database)])?;
    ready(&second).await?;
    scene.system.restart_with(Gateway, &[("PAYMENT_URL", Some(&url(front.address)))]).await?;

    let session = stop_within_transaction(scene).await?;
    let (stopped, accepted) = (Instant::now(), scene.load.accepted());
    front.lead_to(second.address);
    let is_held = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {session}");
    while server(scene)?.execute(&[&is_held])? != "0" || scene.load.accepted() < accepted + ORDERS {
        if stopped.elapsed() > MAX_HELD {
            let taken = scene.load.accepted() - accepted;
            let violation = format!(
                "{} s after a replica was stopped within a transaction, the other has taken {taken} orders",
                MAX_HELD.as_secs()
            );
            scene.system.bad_endings.push(violation);
            break;
        }
        sleep(PAUSE).await;
    }
    scene.system.signal(Payment, Signal::CONT);
    scene.wait(500..1000).await;
    front.lead_to(first);
    scene.wait(500..1000).await;
    second.process.signal(Signal::TERM);
    scene.system.restart_with(Gateway, &[("PAYMENT_URL", None)]).await
}

async fn ready(replica: &Replica) -> Result<()> {
    let (client, begun) = (stacks::http::client()?, Instant::now());
    while let Err(reason) = stacks::http::probe(&client, &(url(replica.address) + "/readyz")).await {
        ensure!(begun.elapsed() < MAX_READY, "the second payment is not ready: {reason}");
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Stops the first replica while a session of it holds rows; returns the session.
async fn stop_within_transaction(scene: &mut Scene<'_>) -> Result<String> {
    for _ in 0..MAX_STOPS {
        scene.wait(5..50).await;
        scene.system.signal(Payment, Signal::STOP);
        // The statements that it has sent end first.
        sleep(PAUSE).await;
        let session = server(scene)?.execute(&[HELD])?;
        if !session.is_empty() {
            return Ok(session);
        }
        scene.system.signal(Payment, Signal::CONT);
    }
    bail!("payment was within no transaction each of {MAX_STOPS} times that it was stopped")
}

/// Kills a replica of payment that holds leases on events: the other one must publish them. The first is stopped until
/// then, so that the leases are those of the second.
pub(super) async fn kill_replica(scene: &mut Scene<'_>) -> Result<()> {
    let first = scene.system.stack.layout().payment;
    let front = Proxy::start(first).await?;
    let database = server(scene)?.url(server(scene)?.address(), "payment");
    let second = Replica::start(&scene.system.stack, Payment, None, &[("PAYMENT_DATABASE_URL", &database)])?;
    ready(&second).await?;
    scene.system.restart_with(Gateway, &[("PAYMENT_URL", Some(&url(front.address)))]).await?;

    scene.system.line.set(Line::Blocked);
    scene.system.signal(Payment, Signal::STOP);
    front.lead_to(second.address);
    let begun = Instant::now();
    // Rows of the database `payment`; an administrator's session is in another one.
    while server(scene)?.execute_in("payment", LEASED)? == "0" {
        ensure!(begun.elapsed() < MAX_NOTICE, "the second payment holds no leases");
        sleep(PAUSE).await;
    }
    second.process.kill();
    scene.system.signal(Payment, Signal::CONT);
    front.lead_to(first);
    scene.system.line.set(Line::Open);
    scene.wait(500..1000).await;
    scene.system.restart_with(Gateway, &[("PAYMENT_URL", None)]).await
}

/// Kills the server and starts it again.
pub(super) async fn kill(scene: &mut Scene<'_>) -> Result<()> {
    let Databases::Server(server) = &mut scene.system.databases else {
        bail!("the databases are not on a server");
    };
    block_in_place(|| server.kill());
    sleep(DOWN).await;
    server.restart().await
}

/// Every transaction is read-only. Then new sessions may write, and old ones still may not: so it is after a failover,
/// for the client that keeps its session with the demoted server.
pub(super) async fn make_read_only(scene: &mut Scene<'_>) -> Result<()> {
    server(scene)?
        .execute(&["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"])?;
    expect_unready(scene, &[Payment, Mailer], "it cannot write").await?;
    let refused = server(scene)?.execute(&["CREATE TABLE refused ()"]).err().context("it may be written")?;
    ensure!(refused.to_string().contains("read-only"), "{refused:#}");
    scene.wait(1000..2000).await;
    for service in [Payment, Mailer] {
        let promote = format!("ALTER DATABASE {service} SET default_transaction_read_only = off");
        server(scene)?.execute(&["SET default_transaction_read_only = off", &promote])?;
    }
    Ok(())
}

/// Ends all sessions and refuses new ones, as a server does whose connections are all taken.
pub(super) async fn refuse_sessions(scene: &mut Scene<'_>) -> Result<()> {
    let allow = |allowed: bool| {
        [Payment, Mailer].map(|service| format!("ALTER DATABASE {service} ALLOW_CONNECTIONS {allowed}"))
    };
    let [payment, mailer] = allow(false);
    server(scene)?.execute(&[&payment, &mailer, END_SESSIONS])?;
    expect_unready(scene, &[Payment, Mailer], "its database refuses sessions").await?;
    scene.wait(1000..2000).await;
    let [payment, mailer] = allow(true);
    server(scene)?.execute(&[&payment, &mailer]).map(drop)
}
