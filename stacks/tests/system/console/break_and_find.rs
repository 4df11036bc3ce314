//! Drills and incidents on the page, with the real Prometheus and Alertmanager.

use std::time::Duration;

use super::{
    driver::{Browser, WIDE},
    link, start,
};
use crate::harness::Program;

/// The time limit of a drill: both of its waits, on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);
const ALERT: &str = "HighErrorRate";

#[tokio::test]
async fn a_drill_runs_by_its_clock_and_its_alert_is_acknowledged() {
    // The harness turns alerts off; an empty value is the default.
    let system = start(&[("ALERTS", "")]).await;
    let browser = Browser::open(WIDE).await;
    browser.go(&link(&system)).await;
    browser.click(".views a[data-view=break]").await;
    browser.press_button("#drill", &format!("Drill {ALERT}")).await;
    browser.shows("#drill .running", "under way").await;
    browser.shows_within(LIMIT, "#alerts", ALERT).await;
    browser.press_button("#alerts", "Acknowledge").await;
    browser.shows("#alerts .clock", "acknowledged +").await;
    browser.shows_within(LIMIT, "#drill .running", "delivered and resolved").await;
    let clock = browser.shows("#alerts .clock", "resolved +").await;
    assert!(clock.contains("delivered +"), "{clock}");
    let stages = browser.text("#drill .stages").await;
    for stage in ["break", "wait for alert", "repair", "wait for end"] {
        assert!(stages.contains(stage), "`{stage}` is not in {stages}");
    }
    browser.close().await;
}

#[tokio::test]
async fn an_incident_is_named_on_the_page() {
    let system = start(&[]).await;
    let browser = Browser::open(WIDE).await;
    browser.go(&link(&system)).await;
    browser.click(".views a[data-view=break]").await;
    // This seed selects a fault that payment simulates: the harness must keep every process.
    let begun = Program::start("stacks", &["incident", "--seed", "3"], system.dir(), &[]).ended().await;
    assert_eq!(begun.code, Some(0), "{begun:?}");
    browser.shows("#incident", "Something is broken since").await;
    browser.press_button("#incident", "the mailer is stopped").await;
    browser.shows("#incident", "That is not it.").await;
    browser.press_button("#incident", "settling a payment takes 3 s").await;
    let said = browser.shows("#incident", "Right: settling a payment takes 3 s. You found it in").await;
    assert!(said.contains("PromQL"), "the query that shows it is not in {said}");
    browser.shows("#incident", "Break something").await;
    browser.close().await;
}
