//! The page in a real browser.

use std::io::Write as _;

use serde_json::json;
use stacks::local::layout::Component;
use testkit::wait::eventually;

use super::{
    Console,
    driver::{Browser, ENTER, TAB, WIDE},
    link, start,
};

async fn assert_calm(browser: &Browser) {
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test]
async fn an_order_is_placed_and_followed_to_its_email() {
    let system = start(&[]).await;
    let browser = Browser::open(WIDE).await;
    browser.go(&link(&system)).await;
    browser.click("#place button.primary").await;
    browser.shows("#orders .row", "mailed").await;
    assert_eq!(browser.run("return location.hash").await, "", "the token is out of the address");
    browser.click("#orders .row").await;
    browser.shows(".email pre", "Thank you! We have received 99.99 USD.").await;
    browser.shows(".kicker", "paid · mailed").await;
    for name in ["POST /create-order", "publish checkout:payment.succeeded", "send email"] {
        browser.shows(".spans", name).await;
    }
    browser.shows(".lines", "e-mail sent").await;
    let marks = browser.run("return document.querySelectorAll('.mark').length").await;
    assert!(marks.as_u64().unwrap() >= 5, "{marks}");
    assert_calm(&browser).await;
    browser.close().await;
}

#[tokio::test]
async fn declined_and_refused_orders_are_drawn_as_such() {
    let system = start(&[]).await;
    let browser = Browser::open(WIDE).await;
    browser.go(&link(&system)).await;
    browser.click("#place button:nth-of-type(2)").await;
    browser.shows("#orders .row", "declined, mailed").await;
    browser.click("#orders .row").await;
    browser.shows(".kicker", "declined · mailed").await;
    browser.shows(".email pre", "We could not charge").await;
    browser.shows(".spans", "publish checkout:payment.declined").await;
    browser.click("#place button:nth-of-type(3)").await;
    browser.shows("#orders .row", "refused 422").await;
    // The refused answer is no error of the page.
    assert_calm(&browser).await;
    browser.close().await;
}

#[tokio::test]
async fn a_dead_letter_is_retried_replayed_and_mailed_on_the_page() {
    // Two seconds: after the second attempt there is no time left for another.
    let system = start(&[("MAIL_DEADLINE", "2s")]).await;
    let console = Console::open(&system).await;
    console.post("/api/simulation/mailer", &json!({"failureRate": 1})).await;
    let placed = system.place().await;
    let browser = Browser::open(WIDE).await;
    browser.go(&link(&system)).await;
    browser.shows("#orders .row", "dead letter").await;
    browser.go(&format!("{}/#/order/{}", link(&system).split("/#").next().unwrap(), placed.id)).await;
    browser.shows(".attempts", "a failure was simulated").await;
    browser.shows(".letter", "Dead letter").await;
    browser.shows(".spans", "error").await;
    console.post("/api/simulation/mailer", &json!({})).await;
    browser.click(".letter button").await;
    browser.shows(".kicker", "paid · mailed").await;
    browser.shows(".facts", "trace 2").await;
    browser.shows(".attempts", "sent").await;
    eventually("a replay below its own line", async || {
        let replays = browser.run("return document.querySelectorAll('.span.replay').length").await;
        if replays == 1 { Ok(()) } else { Err(replays.to_string()) }
    })
    .await;
    assert_calm(&browser).await;
    browser.close().await;
}

#[tokio::test]
async fn a_stopped_backend_is_said_on_the_page() {
    let mut system = start(&[]).await;
    let placed = system.place().await;
    system.email(&placed.id).await;
    system.stack.stop(Component::Traces).unwrap();
    let browser = Browser::open(WIDE).await;
    browser.go(&link(&system)).await;
    browser.shows("#orders .row", "mailed").await;
    browser.click("#orders .row").await;
    browser.shows(".lost", "Spans: cannot ask the trace backend").await;
    browser.shows(".email pre", &placed.id).await;
    browser.click(".views a[data-view=break]").await;
    browser.shows("#components", "stopped").await;
    browser.close().await;
}

#[tokio::test]
async fn the_page_is_used_by_keyboard_alone() {
    let system = start(&[]).await;
    let browser = Browser::open(WIDE).await;
    browser.go(&link(&system)).await;
    browser.shows("#connection", "live").await;
    let focused = async |wanted: &str| {
        for _ in 0..80 {
            browser.press(TAB).await;
            let text = browser
                .run("const e = document.activeElement; return e.getAttribute('aria-label') ?? e.innerText")
                .await;
            if text.as_str().is_some_and(|text| text.contains(wanted)) {
                return;
            }
        }
        panic!("no {wanted} is reached by the tab key");
    };
    focused("Skip to the content").await;
    focused("Place an order").await;
    browser.press(ENTER).await;
    browser.shows("#orders .row", "mailed").await;
    focused("mailed").await;
    browser.press(ENTER).await;
    browser.shows(".kicker", "paid · mailed").await;
    focused("send email").await;
    browser.press(ENTER).await;
    browser.shows(".detail:not([hidden])", "email.attempt").await;
    browser.close().await;
}

#[tokio::test]
async fn markup_from_outside_is_shown_as_text() {
    let system = start(&[]).await;
    // A mail server's words, an id in the address, and lines that others may have written.
    let console = Console::open(&system).await;
    let placed = system.place().await;
    system.email(&placed.id).await;
    let evil = "<img src=x onerror=document.title='hacked'>";
    let line = json!({
        "@timestamp": "2026-01-02T03:04:05.000Z", "log.level": evil, "message": evil, "trace.id": placed.trace,
        "order.id": placed.id, "error.message": evil, "email.attempt": evil, evil: evil,
    });
    let file = system.stack.log_dir().join("email-service.log");
    // Appended: the mailer may write at the same time.
    let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
    std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
    let email = system.dir().join("var/mail").join(format!("{}.eml", placed.id));
    std::fs::write(
        &email,
        format!("Subject: {evil}\r\nTo: {evil}\r\nMessage-ID: <{evil}>\r\n\r\nSKU {evil}\r\n"),
    )
    .unwrap();
    assert!(!console.journey(&placed.id).await.is_empty());

    let browser = Browser::open(WIDE).await;
    browser.go(&format!("{}/#/order/{}", link(&system).split("/#").next().unwrap(), placed.id)).await;
    browser.go(&link(&system)).await;
    browser.shows("#connection", "live").await;
    browser.run(&format!("location.hash = '#/order/{}'", placed.id)).await;
    browser.shows(".email pre", evil).await;
    browser.shows(".lines", evil).await;
    browser.run(&format!("location.hash = '#/order/' + encodeURIComponent({})", json!(evil))).await;
    browser.shows(".journey", "this is no id").await;
    assert_eq!(browser.run("return document.querySelectorAll('#main img').length").await, 0);
    assert_eq!(browser.run("return document.title").await, "Omnitrace console");
    browser.close().await;
}

#[tokio::test]
async fn a_thousand_orders_are_painted_within_a_second() {
    let system = start(&[]).await;
    // The lines of a thousand orders; a busy machine would take its time to place them.
    let mut lines = String::new();
    for number in 0..1000 {
        let time = format!("2026-01-02T03:{:02}:{:02}.000Z", number / 60, number % 60);
        let (order, trace) = (format!("01890000-0000-7000-8000-{number:012}"), format!("{number:032x}"));
        let line = json!({
            "@timestamp": time, "message": "payment settled", "payment.outcome": "succeeded", "order.id": order,
            "trace.id": trace,
        });
        lines += &format!("{line}\n");
    }
    let mut file = std::fs::File::options()
        .append(true)
        .open(system.stack.log_dir().join("payment-service.log"))
        .unwrap();
    file.write_all(lines.as_bytes()).unwrap();
    let browser = Browser::open(WIDE).await;
    browser.go(&link(&system)).await;
    browser.shows("#count", "1,000").await;

    let base = link(&system);
    browser.go(base.split("/#").next().unwrap()).await;
    browser.shows("#count", "1,000").await;
    let timing = "const [paint] = performance.getEntriesByName('first-contentful-paint'); return paint?.startTime ?? 9999";
    let paint = browser.run(timing).await.as_f64().unwrap();
    let rows = browser
        .run("return performance.getEntriesByName('orders-drawn')[0]?.startTime ?? 9999")
        .await
        .as_f64()
        .unwrap();
    let script = "const done = arguments[arguments.length - 1]; const list = document.getElementById('orders'); let frames = 0;
        const begun = performance.now(); let last = begun, longest = 0;
        const step = (now) => { longest = Math.max(longest, now - last); last = now; list.scrollTop += 120; frames += 1;
          if (performance.now() - begun < 1500) requestAnimationFrame(step); else done([frames, longest, list.scrollTop]); };
        requestAnimationFrame(step);";
    let scrolled = browser.run_async(script).await;
    eprintln!(
        "first paint {paint:.0} ms, 1,000 orders drawn {rows:.0} ms, frames in 1.5 s, longest in ms, pixels: {scrolled}"
    );
    assert!(paint < 1000.0, "first paint after {paint} ms");
    assert!(rows < 3000.0, "1,000 orders after {rows} ms");
    assert!(scrolled[2].as_f64().unwrap() > 1000.0, "{scrolled}");
    browser.close().await;
}
