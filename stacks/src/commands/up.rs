//! `stacks up`: the stack, then the proof that it works: one order, its trace, its log lines.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::{show, show_lines, terminal_width};
use crate::{
    backends::{Traces as _, jaeger::Jaeger},
    http,
    local::{Options, Stack, layout::link, rabbitmq},
    logs::{self, Filter, Line, SERVICES},
    order::{self, Order},
    progress::Progress,
    style::Style,
    trace::Trace,
};

/// How long the trace and the log lines may take to arrive.
const WHOLE: Duration = Duration::from_secs(15);
const LOGGED: Duration = Duration::from_secs(3);

const NO_ALERTS: &str = "without alerts: this stack has no Prometheus and Alertmanager; to have them,\n  \
    stacks/local/install prometheus prometheus-alertmanager && make down && make up\n\
    or set ALERTS=off in .env";

/// Brings the stack up. If anything had to be started for that, one order shows that it works.
pub async fn up(options: &Options) -> Result<()> {
    let mut progress = Progress::for_terminal();
    let begun = Instant::now();
    let result = bring_up(options, &mut progress, begun).await;
    progress.failed();
    result
}

/// Places an order on the stack that runs, and shows its way.
pub async fn order(options: &Options) -> Result<()> {
    let mut progress = Progress::for_terminal();
    let order = prove(&Stack::open(options)?, &mut progress).await;
    progress.failed();
    let id = order?.order_id;
    show(&format!("\nnext:\n  make logs ORDER={id}\n  make trace ORDER={id}\n"))
}

async fn bring_up(options: &Options, progress: &mut Progress, begun: Instant) -> Result<()> {
    let mut stack = Stack::up(options, progress).await?;
    let nothing_started = stack.started().next().is_none();
    if stack.lacks_alerts() {
        progress.note(NO_ALERTS);
    }
    // Whatever the order may show, the stack is ready: it stays, to be looked into.
    stack.leave_running();
    if nothing_started {
        progress.note("everything was running already, nothing was started");
        return show(&links(&stack, None));
    }
    let order = prove(&stack, progress).await?;
    progress.note(&format!("ready after {:.1} s", begun.elapsed().as_secs_f64()));
    show(&links(&stack, Some(&order)))
}

async fn prove(stack: &Stack, progress: &mut Progress) -> Result<Order> {
    let client = http::synthetic_client("order")?;
    progress.begin("order");
    let order = order::place(&client, &stack.gateway_url()).await?;
    progress.done(&order.order_id);
    if let Some(jaeger) = stack.jaeger_url() {
        progress.begin("trace");
        let jaeger = Jaeger::new(client.clone(), jaeger);
        let (trace, missing) = whole(&jaeger, &order.trace_id, progress).await?;
        if missing.is_none() {
            progress.done("whole, over HTTP and the queue");
        }
        show(&format!("\n{}\n", trace.tree(Style::for_stdout(), terminal_width())))?;
        if let Some(missing) = missing {
            bail!(
                "after {} s the trace is not whole; it lacks {missing}\n`make logs ORDER={}` may show why",
                WHOLE.as_secs(),
                order.order_id
            );
        }
    }
    progress.begin("logs");
    let (lines, silent) = logged(&stack.log_dir(), &order.trace_id).await?;
    if silent.is_empty() {
        progress.done("from every service");
    }
    show_lines(&lines, false)?;
    if !silent.is_empty() {
        bail!("no log line of {} carries the trace id; see {}", silent.join(", "), stack.log_dir().display());
    }
    Ok(order)
}

/// Waits until the trace has every span of an order, or says which it lacks.
async fn whole(jaeger: &Jaeger, id: &str, progress: &mut Progress) -> Result<(Trace, Option<String>)> {
    let deadline = Instant::now() + WHOLE;
    loop {
        let trace = jaeger.trace(id).await?.unwrap_or_else(|| Trace { id: id.into(), spans: Vec::new() });
        let missing: Vec<String> = trace
            .missing()
            .iter()
            .map(|(service, kind, name)| format!("{service} {kind} `{name}`"))
            .collect();
        if missing.is_empty() {
            return Ok((trace, None));
        }
        if Instant::now() > deadline {
            return Ok((trace, Some(missing.join(", "))));
        }
        progress.waiting(format!("{} of its spans are still to come", missing.len()));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The log lines of the trace, as soon as every service has written one; and who has not in time.
async fn logged(dir: &Path, trace: &str) -> Result<(Vec<Line>, Vec<&'static str>)> {
    let deadline = Instant::now() + LOGGED;
    loop {
        let lines = logs::read(dir, &Filter::trace(trace), None)?;
        let is_silent = |service: &&str| !lines.iter().any(|line| line.service == *service);
        let silent: Vec<_> = SERVICES.into_iter().filter(is_silent).collect();
        if silent.is_empty() || Instant::now() > deadline {
            return Ok((lines, silent));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn links(stack: &Stack, order: Option<&Order>) -> String {
    let layout = stack.layout();
    let mut text = String::from("\n");
    let mut row = |name: &str, what: &str| text.push_str(&format!("  {name:<10} {what}\n"));
    row("gateway", &link(layout.gateway));
    if let Some(traces) = layout.traces {
        let page = order.map_or_else(
            || "/search?service=order-gateway&limit=20".into(),
            |order| format!("/trace/{}", order.trace_id),
        );
        row("trace", &(link(traces.ui) + &page));
    }
    if let Some(ports) = layout.broker {
        let page = link(rabbitmq::local(ports.management));
        row("RabbitMQ", &format!("{page}   user {}, password AMQP_PASSWORD in .env", rabbitmq::USER));
    }
    if let Some(watch) = layout.watch {
        row("metrics", &(link(watch.prometheus) + "/alerts   Prometheus, its rules and what fires"));
        row(
            "alerts",
            &(link(watch.alertmanager) + "   Alertmanager; what it delivers is at the gateway's /alerts"),
        );
    }
    match stack.mail_dir() {
        Some(dir) => row("e-mails", &dir.display().to_string()),
        None => row("e-mails", "sent over SMTP, as SMTP_URL says"),
    }
    let id = order.map_or("<id>", |order| &order.order_id);
    let gateway = link(layout.gateway);
    text.push_str(&format!(
        "\nnext:\n  curl -X POST {gateway}/create-order\n  make status\n  make logs ORDER={id}\n  make trace ORDER={id}\n  make down\n"
    ));
    text
}
