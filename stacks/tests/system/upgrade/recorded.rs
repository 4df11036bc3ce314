//! Databases that the revision 355d144 has written, with orders in flight.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use stacks::local::layout::Component::Mailer;
use tempfile::TempDir;

use crate::harness::System;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/upgrade/355d144");

/// The orders in one place.
fn orders(place: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(RECORDED).join("orders.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    all[place].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// Event id and payload of an order.
fn event(order: &str) -> (String, String) {
    let file = Path::new(RECORDED).join("payment.db");
    let select = format!("SELECT event_id, CAST(payload AS TEXT) FROM outbox WHERE order_id = '{order}'");
    let output =
        Command::new("sqlite3").args(["-readonly", "-separator", "\n"]).arg(file).arg(select).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let (id, payload) = text.trim_end().split_once('\n').unwrap();
    (id.to_owned(), payload.to_owned())
}

#[tokio::test]
async fn orders_in_flight_at_an_upgrade_get_one_email_each() {
    let dir = TempDir::new().unwrap();
    let url = |name: &str| {
        fs::copy(Path::new(RECORDED).join(name), dir.path().join(name)).unwrap();
        format!("sqlite://{}", dir.path().join(name).display())
    };
    let system = System::with(&[
        ("PAYMENT_DATABASE_URL", &url("payment.db")),
        ("MAILER_DATABASE_URL", &url("mailer.db")),
        // The files were recorded long ago.
        ("MAIL_DEADLINE", "876000h"),
    ])
    .await;
    for (id, payload) in orders("broker").iter().map(|order| event(order)) {
        system.vhost.publish("payment.succeeded", &id, (&payload, "string")).await;
    }

    let mut expected: Vec<String> = ["inbox", "broker", "outbox"].into_iter().flat_map(orders).collect();
    for order in &expected {
        system.email(order).await;
    }
    let new = system.place().await;
    system.email(&new.id).await;
    system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 7.0).await;
    expected.push(new.id);
    for order in expected.iter().chain(&orders("mailed")) {
        let answer = system.order(order).await;
        assert_eq!((answer.status, &answer.body["status"]), (200, &Value::from("paid")), "{answer:?}");
    }
    let mut files: Vec<String> = expected.iter().map(|order| format!("{order}.eml")).collect();
    files.sort();
    assert_eq!(system.emails(), files, "those that were mailed before the upgrade are not mailed again");
}
