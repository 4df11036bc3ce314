//! `stacks load`: good, declined and invalid orders get their answers, and other answers are counted and named.

use crate::harness::{Ended, Program, System};

async fn load(system: &System) -> Ended {
    let load = ["load", "--rate", "40", "--for", "3s", "--declined", "20", "--invalid", "20"];
    Program::start("stacks", &load, system.dir(), &[]).ended().await
}

/// The number of orders of a kind, and of those with an unexpected answer.
fn row(ended: &Ended, kind: &str) -> (u64, u64) {
    let line =
        ended.stdout.lines().find(|line| line.starts_with(kind)).unwrap_or_else(|| panic!("{ended:?}"));
    let mut numbers = line.split_whitespace().skip(2).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[tokio::test]
async fn good_declined_and_invalid_orders_get_their_answers() {
    let system = System::start().await;
    let ended = load(&system).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let rows = ["good (201)", "declined (402)", "invalid (422)"].map(|kind| row(&ended, kind));
    assert!(rows.iter().all(|(sent, unexpected)| *sent > 0 && *unexpected == 0), "{}", ended.stdout);
    assert_eq!(rows.iter().map(|(sent, _)| sent).sum::<u64>(), 120, "{}", ended.stdout);
    system.marks_synthetic(rows[0].0 as usize).await;
}

#[tokio::test]
async fn refused_orders_are_counted_and_named() {
    let system = System::with(&[("GATEWAY_RATE_LIMIT", "10")]).await;
    let ended = load(&system).await;
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    let (sent, unexpected) = row(&ended, "good (201)");
    assert!(0 < unexpected && unexpected < sent, "{}", ended.stdout);
    assert!(ended.stdout.contains(" × 429: "), "{}", ended.stdout);
}
