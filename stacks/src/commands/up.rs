//! `stacks up`: starts the local stack, and places one order to show that it works.

use std::time::Instant;

use anyhow::Result;

use super::order::{next, place};
use crate::{
    address::link,
    console::{self, TOKEN},
    local::{LocalStack, rabbitmq},
    orders::Order,
    output::show,
    progress::Progress,
    secrets::AMQP_USER,
    settings::Options,
};

const NO_ALERTS: &str = "alerts are off: Prometheus or Alertmanager is missing; to have them,\n  \
    stacks/local/install prometheus prometheus-alertmanager && make down && make up\n\
    or set ALERTS=off in .env";

/// Starts every component that does not run, and places an order if any was started.
///
/// # Errors
/// When a component does not become ready, or the order leaves no whole trace.
pub async fn up(options: &Options) -> Result<()> {
    let mut options = options.clone();
    if !options.settings()?.contains_key("CONSOLE") {
        options.env.insert("CONSOLE".to_owned(), "on".to_owned());
    }
    let mut progress = Progress::for_terminal();
    let begun = Instant::now();
    let result = bring_up(&options, &mut progress, begun).await;
    progress.failed();
    result
}

/// What an interrupted `up` has left: the stack if it was up already, nothing otherwise.
pub fn after_interruption(options: &Options) -> &'static str {
    if LocalStack::open(options).is_ok_and(|stack| stack.runs()) {
        "the stack runs, `make down` stops it"
    } else {
        "the components that were started are stopped"
    }
}

async fn bring_up(options: &Options, progress: &mut Progress, begun: Instant) -> Result<()> {
    let mut stack = LocalStack::up(options, progress).await?;
    let nothing_started = stack.started().next().is_none();
    if stack.lacks_alerts() {
        progress.note(NO_ALERTS);
    }
    // The stack is ready, and stays for inspection if the order fails.
    stack.leave_running();
    if nothing_started {
        progress.note("everything was running already, nothing was started");
        return show(&links(&stack, None));
    }
    let order = place(&stack, progress).await?;
    progress.note(&format!("ready after {:.1} s", begun.elapsed().as_secs_f64()));
    show(&links(&stack, Some(&order)))
}

fn links(stack: &LocalStack, order: Option<&Order>) -> String {
    let layout = stack.layout();
    let mut text = String::from("\n");
    let mut row = |name: &str, what: &str| text.push_str(&format!("  {name:<10} {what}\n"));
    if let (Some(address), Some(token)) = (layout.console, stack.setting(TOKEN)) {
        row("console", &console::link(address, token));
    }
    row("gateway", &link(layout.gateway));
    if let Some(traces) = layout.traces {
        let page = match order.map_or("", |order| &order.trace_id) {
            "" => "/search?service=order-gateway&limit=20".to_owned(),
            trace => format!("/trace/{trace}"),
        };
        row("trace", &(link(traces.ui) + &page));
    }
    if let Some(ports) = layout.broker {
        let page = link(rabbitmq::local(ports.management));
        row("RabbitMQ", &format!("{page}   user {}, password AMQP_PASSWORD in .env", AMQP_USER));
    }
    if let Some(watch) = layout.watch {
        row("metrics", &(link(watch.prometheus) + "/alerts   Prometheus, its rules and firing alerts"));
        row(
            "alerts",
            &(link(watch.alertmanager) + "   Alertmanager; the gateway's /alerts shows its deliveries"),
        );
    }
    match stack.mail_dir() {
        Some(dir) => row("e-mails", &dir.display().to_string()),
        None => row("e-mails", "sent over SMTP to SMTP_URL"),
    }
    let any = Order { order_id: "<id>".into(), trace_id: "<id>".into() };
    let more = next(order.unwrap_or(&any)).join("\n  ");
    let gateway = link(layout.gateway);
    text.push_str(&format!(
        "\nnext:\n  curl -X POST {gateway}/create-order\n  make status\n  {more}\n  make down\n"
    ));
    text
}
