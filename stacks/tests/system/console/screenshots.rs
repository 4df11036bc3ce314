//! The pictures of the documents, of a real run: `make screenshots`.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use testkit::wait::eventually;

use super::{Console, driver::Browser, link, start};

/// The width of a large screen, and of a phone.
const PICTURES: [(&str, (u32, u32)); 2] = [("console.png", (1440, 1180)), ("console-phone.png", (390, 844))];

#[tokio::test]
#[ignore = "writes docs; `make screenshots` runs it"]
async fn screenshots() {
    let settings = [("PAYMENT_LATENCY", "500ms"), ("MAIL_LATENCY", "800ms"), ("GATEWAY_RATE_LIMIT", "0")];
    let system = start(&settings).await;
    let console = Console::open(&system).await;
    console.post("/api/simulation/mailer", &json!({"failureRate": 0.12})).await;
    let burst = json!({"rate": 8, "count": 440, "declined": 5, "invalid": 5});
    let browser = Browser::open(PICTURES[0].1).await;
    browser.go(&link(&system)).await;
    browser.shows("#connection", "live").await;
    console.post("/api/burst", &burst).await;
    // The charts fill.
    tokio::time::sleep(Duration::from_secs(50)).await;
    // An order whose first attempt has failed, and whose e-mail was sent all the same.
    let order = eventually("an order with two attempts", async || {
        let script = "return [...document.querySelectorAll('#orders .row')].find((row) => \
                      row.innerText.includes('2 attempts') && !row.innerText.includes('declined'))?.getAttribute('href') ?? null";
        match browser.run(script).await {
            Value::String(href) => Ok(href),
            other => Err(other.to_string()),
        }
    })
    .await;
    browser.run(&format!("location.hash = '{order}'")).await;
    browser.shows(".kicker", "mailed").await;
    browser.shows(".spans", "send email").await;
    picture(&browser, PICTURES[0].0).await;
    browser.close().await;

    let phone = Browser::open(PICTURES[1].1).await;
    phone.go(&link(&system)).await;
    phone.shows("#connection", "live").await;
    phone.run(&format!("location.hash = '{order}'")).await;
    phone.shows(".spans", "send email").await;
    picture(&phone, PICTURES[1].0).await;
    phone.close().await;
}

async fn picture(browser: &Browser, name: &str) {
    // What has been drawn is painted.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    fs::write(file, browser.picture().await).unwrap();
}
