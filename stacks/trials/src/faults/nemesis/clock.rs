//! A clock that is set.

use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use stacks::local::layout::Component;
use testkit::smtp::{Behavior, State};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::time::sleep;

use crate::{
    faults::{library, scene::Scene},
    proxy::Line,
};

const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
/// Until nothing waits any more after the step, without new orders.
const MAX_DRAIN: Duration = Duration::from_secs(30);
/// Gauges may be a second old.
const PAUSE: Duration = Duration::from_millis(600);

/// Sets the clock of all services by some hours, more than each lease and each delay between attempts, while events are
/// leased and e-mails wait for their next attempts. All work must end under that clock; then the services are restarted
/// with the true one.
pub(super) async fn set(scene: &mut Scene<'_>, hours: i64) -> Result<()> {
    let library = library::find(LIBRARY, "faketime")?;
    let clock = scene.system.stack.dir().join("var/clock");
    fs::write(&clock, "+0").context("cannot write the clock")?;
    let (library, file) = (library.to_string_lossy(), clock.to_string_lossy());
    let settings = [
        ("LD_PRELOAD", &*library),
        ("FAKETIME_TIMESTAMP_FILE", &*file),
        ("FAKETIME_NO_CACHE", "1"),
        // The step of a real clock does not move the monotonic one.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    restart(scene, settings.map(|(key, value)| (key, Some(value)))).await?;
    scene.system.mail.set(State::Up(Behavior::Refuse("451 later"), 1));
    scene.wait(500..1000).await;
    scene.system.line.set(Line::Blocked);
    scene.wait(300..600).await;

    fs::write(&clock, format!("{hours:+}h")).context("cannot set the clock")?;
    let is_set = expect_clocks(scene, hours).await;
    scene.wait(500..1000).await;
    scene.system.line.set(Line::Open);
    scene.system.mail.set(State::Up(Behavior::Accept, 1));
    scene.load.hold(true);
    let begun = Instant::now();
    let mut quiet = 0;
    while quiet < 3 && begun.elapsed() < MAX_DRAIN {
        sleep(PAUSE).await;
        quiet = if scene.system.backlog().await?.is_empty() { quiet + 1 } else { 0 };
    }
    if quiet < 3 {
        let left = scene.system.backlog().await?;
        scene.system.bad_endings.push(format!("after the clock was set, work waits: {left:?}"));
    }
    scene.load.hold(false);
    scene.wait(500..1000).await;
    restart(scene, settings.map(|(key, _)| (key, None))).await?;
    is_set
}

async fn restart(scene: &mut Scene<'_>, settings: [(&str, Option<&str>); 4]) -> Result<()> {
    for service in Component::SERVICES {
        scene.system.restart_with(service, &settings).await?;
    }
    Ok(())
}

/// The header `Date` of each service shows its clock; actix renews it twice a second.
async fn expect_clocks(scene: &Scene<'_>, hours: i64) -> Result<()> {
    sleep(Duration::from_secs(1)).await;
    for service in Component::SERVICES {
        let response = scene.system.get(service, "/livez").await?;
        let date = response.headers().get("date").and_then(|date| date.to_str().ok());
        let date = date.with_context(|| format!("{service} says no date"))?;
        let date = OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822)?;
        let ahead = date - OffsetDateTime::from(SystemTime::now());
        let is_set = (ahead - time::Duration::hours(hours)).abs() < time::Duration::hours(1);
        ensure!(is_set, "the clock of {service} was not set: it says {date}");
    }
    Ok(())
}
