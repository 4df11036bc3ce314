//! `stacks load`: every sort of order is answered as it must be, and what is not is counted and named.

use crate::harness::{Ended, Program, System};

async fn load(system: &System) -> Ended {
    let load = ["load", "--rate", "40", "--for", "3s", "--declined", "20", "--invalid", "20"];
    Program::start("stacks", &load, system.dir(), &[]).ended().await
}

/// How many orders of a sort were sent, and how many of them were answered otherwise.
fn row(ended: &Ended, sort: &str) -> (u64, u64) {
    let line =
        ended.stdout.lines().find(|line| line.starts_with(sort)).unwrap_or_else(|| panic!("{ended:?}"));
    let mut numbers = line.split_whitespace().skip(2).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[tokio::test]
async fn good_declined_and_invalid_orders_are_answered_as_they_must_be() {
    let system = System::start().await;
    let ended = load(&system).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let rows = ["good (201)", "declined (402)", "invalid (422)"].map(|sort| row(&ended, sort));
    assert!(rows.iter().all(|(sent, otherwise)| *sent > 0 && *otherwise == 0), "{}", ended.stdout);
    assert_eq!(rows.iter().map(|(sent, _)| sent).sum::<u64>(), 120, "{}", ended.stdout);
    system.marks_synthetic(rows[0].0 as usize).await;
}

#[tokio::test]
async fn orders_that_are_refused_are_counted_and_named() {
    let system = System::with(&[("GATEWAY_RATE_LIMIT", "10")]).await;
    let ended = load(&system).await;
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    let (sent, otherwise) = row(&ended, "good (201)");
    assert!(0 < otherwise && otherwise < sent, "{}", ended.stdout);
    assert!(ended.stdout.contains(" × 429: "), "{}", ended.stdout);
}
