//! Records the databases of an earlier version with orders in flight, and those orders by their place.

use std::{fs, path::Path, process::Command};

use serde_json::json;
use stacks::local::layout::Component::{Mailer, Payment};
use testkit::wait::eventually;

use crate::harness::{System, inherited};

/// A mail server that does not answer.
const NO_SERVER: &str = "smtp://127.0.0.1:1";

#[tokio::test]
#[ignore = "records files, with the binaries of an earlier version: OLD_BINARIES names their directory, RECORD_TO the one for the files"]
async fn record_orders_in_flight() {
    let [binaries, to] = ["OLD_BINARIES", "RECORD_TO"].map(|name| inherited(name).expect("both are set"));
    let mut system = System::with_binaries(Path::new(&binaries), &[]).await;
    let mailed = two_orders(&system).await;
    for order in &mailed {
        system.email(order).await;
    }
    system.kill(Mailer);
    system.stack.set("SMTP_URL", Some(NO_SERVER));
    system.restart(Mailer).await;
    let in_inbox = two_orders(&system).await;
    system.reaches(Mailer, "messaging_received_total{outcome=\"accepted\"}", 2.0).await;
    system.kill(Mailer);
    let in_broker = two_orders(&system).await;
    for order in &in_broker {
        system.published(order).await;
    }
    system.vhost.remove().await;
    eventually("payment without a broker", async || {
        system.metrics(Payment).await.get("broker_connected") == 0.0
    })
    .await;
    let in_outbox = two_orders(&system).await;
    system.kill(Payment);

    for name in ["payment.db", "mailer.db"] {
        let copy = format!(".backup {}", Path::new(&to).join(name).display());
        let file = system.dir().join("var").join(name);
        assert!(Command::new("sqlite3").arg(file).arg(copy).status().unwrap().success());
    }
    let orders = json!({"mailed": mailed, "inbox": in_inbox, "broker": in_broker, "outbox": in_outbox});
    fs::write(Path::new(&to).join("orders.json"), format!("{orders:#}\n")).unwrap();
}

async fn two_orders(system: &System) -> Vec<String> {
    vec![system.place().await.id, system.place().await.id]
}
