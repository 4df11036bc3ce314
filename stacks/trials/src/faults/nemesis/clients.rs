//! Faults by clients: those beside the clients that place orders.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use stacks::local::layout::Component;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::faults::{
    fault::{CROWD, FEW_DESCRIPTORS, SLOW_BODIES},
    history::{Answer, Attempt},
    scene::Scene,
};

/// Where these clients come from: the others have the usual address of the loopback device.
const OTHER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Longer than a good answer takes to come on a busy machine.
const MAX_ANSWER: Duration = Duration::from_secs(5);
/// The least usual latency: of few orders, the 99th percentile is nearly the slowest.
const USUAL: Duration = Duration::from_millis(100);
/// What a client may ask that is no order, and the status of the answer.
const BAD_REQUESTS: [(&str, u16); 6] = [
    ("GET /no-such-path HTTP/1.1\r\nhost: a\r\n\r\n", 404),
    ("DELETE /create-order HTTP/1.1\r\nhost: a\r\n\r\n", 405),
    (
        "POST /create-order HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n",
        413,
    ),
    (
        "POST /create-order HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{",
        400,
    ),
    (
        "POST /create-order HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}",
        415,
    ),
    ("\u{1}\u{2} no HTTP at all\r\n\r\n", 400),
];

/// Many clients send the same order with the same key at the same time: it is one order.
pub(super) async fn crowd(scene: &mut Scene<'_>) -> Result<()> {
    for _ in 0..10 {
        scene.wait(50..150).await;
        let mut draft = scene.load.draft();
        let mut asking = JoinSet::new();
        for _ in 0..CROWD {
            let (clients, mut draft) = (scene.load.clients(), draft.clone());
            asking.spawn(async move {
                clients.ask(&mut draft).await;
                draft.operation.attempts
            });
        }
        while let Some(attempts) = asking.join_next().await {
            draft.operation.attempts.extend(attempts?);
        }
        draft.operation.attempts.sort_by_key(|attempt| attempt.sent);
        scene.load.add(draft);
    }
    Ok(())
}

/// Clients end their half of the connection once the request is sent: what comes of the order they learn by asking again.
pub(super) async fn half_close(scene: &mut Scene<'_>) -> Result<()> {
    for _ in 0..40 {
        scene.wait(20..60).await;
        let mut draft = scene.load.draft();
        let body = draft.body().to_string();
        let head = format!(
            "POST /create-order HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nidempotency-key: {}\r\n\
             content-length: {}\r\n\r\n",
            draft.key,
            body.len()
        );
        let sent = Instant::now();
        // A key belongs to the address of its client, who asks again.
        let mut stream = connect(gateway(scene), Ipv4Addr::LOCALHOST).await?;
        // The gateway may close first.
        let _ = stream.write_all((head + &body).as_bytes()).await;
        let _ = stream.shutdown().await;
        let answer = Answer::Unclear("the client closed its half of the connection".into());
        draft.operation.attempts.push(Attempt { sent, ended: Instant::now(), answer, failed_trace: None });
        scene.load.add(draft);
    }
    Ok(())
}

/// Many slow clients of one address hold connections beside the good ones, which must get their answers as before.
pub(super) async fn slow_bodies(scene: &mut Scene<'_>) -> Result<()> {
    scene.wait(2000..2500).await;
    let begun = Instant::now();
    let usual = scene.load.slowest_percent(..begun);
    let mut slow = Vec::new();
    for _ in 0..SLOW_BODIES {
        let mut stream = connect(gateway(scene), OTHER_ADDRESS).await?;
        let head = "POST /create-order HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 200\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.context("cannot send a slow request")?;
        slow.push(stream);
    }
    // A debug build takes this long to begin so many requests.
    scene.wait(1000..1500).await;
    let held = Instant::now();
    scene.wait(5000..6000).await;
    let meanwhile = scene.load.slowest_percent(held..);
    drop(slow);
    if meanwhile > 2 * usual.max(USUAL) {
        let violation = format!(
            "beside {SLOW_BODIES} slow clients, the slowest hundredth of the good ones waited {} ms, before them {} ms",
            meanwhile.as_millis(),
            usual.as_millis()
        );
        scene.system.bad_endings.push(violation);
    }
    Ok(())
}

/// Each service may have few descriptors, and clients want more of the gateway than there are.
pub(super) async fn few_descriptors(scene: &mut Scene<'_>) -> Result<()> {
    let mut limited = Vec::new();
    for service in Component::SERVICES {
        let process =
            scene.system.stack.process(service).with_context(|| format!("{service} does not run"))?;
        let pid = Pid::from_raw(process.pid);
        let few = Rlimit { current: Some(FEW_DESCRIPTORS as u64), maximum: None };
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        let before =
            prlimit(pid, Resource::Nofile, Rlimit { maximum, ..few }).context("cannot limit descriptors")?;
        limited.push((pid, before));
    }
    let mut idle = Vec::new();
    for _ in 0..FEW_DESCRIPTORS {
        // A full backlog refuses it.
        if let Ok(Ok(stream)) =
            timeout(Duration::from_millis(200), connect(gateway(scene), OTHER_ADDRESS)).await
        {
            idle.push(stream);
        }
    }
    scene.wait(2000..3000).await;
    drop(idle);
    scene.wait(500..1000).await;
    for (pid, before) in limited {
        prlimit(pid, Resource::Nofile, before).context("cannot give the descriptors back")?;
    }
    Ok(())
}

/// Clients send what is no order, some of it no HTTP: each gets its documented refusal.
pub(super) async fn bad_requests(scene: &mut Scene<'_>) -> Result<()> {
    let gateway = gateway(scene);
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        asking.spawn(async move {
            let mut wrong = Vec::new();
            for (request, expected) in BAD_REQUESTS.iter().cycle().take(150) {
                match status(gateway, request).await {
                    // It may be asked to slow down first.
                    Ok(status) if status == *expected || status == 429 => {}
                    answer => wrong.push(format!("{request:?} got {answer:?} in place of {expected}")),
                }
                sleep(Duration::from_millis(5)).await;
            }
            wrong
        });
    }
    while let Some(wrong) = asking.join_next().await {
        scene.system.bad_endings.extend(wrong?.into_iter().take(1));
    }
    Ok(())
}

async fn status(gateway: SocketAddr, request: &str) -> Result<u16> {
    let mut stream = connect(gateway, OTHER_ADDRESS).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 12];
    timeout(MAX_ANSWER, stream.read_exact(&mut answer)).await??;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|status| status.parse().ok())
        .with_context(|| format!("it says `{answer}`"))
}

fn gateway(scene: &Scene<'_>) -> SocketAddr {
    scene.system.stack.layout().gateway
}

async fn connect(gateway: SocketAddr, from: Ipv4Addr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4().context("cannot open a socket")?;
    socket.bind(SocketAddr::new(IpAddr::V4(from), 0)).with_context(|| format!("cannot send from {from}"))?;
    socket.connect(gateway).await.with_context(|| format!("cannot connect to {gateway}"))
}
