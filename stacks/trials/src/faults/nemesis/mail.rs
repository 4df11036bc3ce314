//! Faults of the mail server.

use std::{fs, net::Ipv4Addr};

use anyhow::{Context as _, Result};
use reqwest::Method;
use stacks::local::layout::Component::Mailer;
use testkit::{
    black_hole::BlackHole,
    smtp::{Behavior, State},
};

use crate::faults::{library, scene::Scene};

/// Names hosts by a file, for the process that it is loaded into.
const RESOLVER: &str = "libnss_wrapper.so";
const HOST: &str = "mail.test";
/// Also on this machine, and of nobody.
const DEAD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

pub(super) async fn disturb(scene: &mut Scene<'_>, state: State) -> Result<()> {
    if state == State::HeloOnly {
        // Only new sessions say EHLO.
        scene.system.mail.set(State::Down);
        scene.wait(50..100).await;
    }
    scene.system.mail.set(state);
    scene.wait(1500..2500).await;
    scene.system.mail.set(State::Up(Behavior::Accept, 1));
    Ok(())
}

pub(super) async fn refuse_and_replay(scene: &mut Scene<'_>) -> Result<()> {
    disturb(scene, State::Up(Behavior::Refuse("550 no such customer"), 2)).await?;
    // The mailer gives up the e-mail that was refused last.
    scene.wait(500..800).await;
    scene.system.dead_letters(Method::POST, "/dead-letters/replay").await.map(drop)
}

/// Names the mail server by a host whose first address never answers, as that of a machine behind a firewall.
pub(super) async fn deaden_first_address(scene: &mut Scene<'_>) -> Result<()> {
    let server = scene.system.mail.address();
    let dead =
        BlackHole::at((DEAD, server.port()).into()).context("cannot make an address that never answers")?;
    let hosts = scene.system.stack.dir().join("var/hosts");
    fs::write(&hosts, format!("{DEAD} {HOST}\n{} {HOST}\n", server.ip()))
        .context("cannot write the hosts")?;
    let (resolver, hosts) =
        (library::find(RESOLVER, "libnss-wrapper")?, hosts.to_string_lossy().into_owned());
    let url = format!("smtp://{HOST}:{}", server.port());
    let settings =
        [("LD_PRELOAD", &*resolver.to_string_lossy()), ("NSS_WRAPPER_HOSTS", &*hosts), ("SMTP_URL", &*url)];
    scene.system.restart_with(Mailer, &settings.map(|(key, value)| (key, Some(value)))).await?;
    let before = scene.system.mail.accepted().len();
    scene.wait(6000..8000).await;
    if scene.system.mail.accepted().len() == before {
        let violation = "the mailer sends nothing while the first address of the mail server never answers";
        scene.system.bad_endings.push(violation.into());
    }
    drop(dead);
    let known = scene.system.mail.url();
    let known = [("LD_PRELOAD", None), ("NSS_WRAPPER_HOSTS", None), ("SMTP_URL", Some(&*known))];
    scene.system.restart_with(Mailer, &known).await
}
