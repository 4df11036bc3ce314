//! `stacks status`.

use anyhow::Result;

use crate::{
    local::{Health, LocalStack},
    output::show,
    settings::Options,
    style::{Style, uptime},
    table::{Cell, Table},
};

/// Shows each component of the local stack; true if all of them are ready.
///
/// # Errors
/// When settings or state cannot be read.
pub async fn status(options: &Options) -> Result<bool> {
    let stack = LocalStack::open(options)?;
    let columns = ["component", "state", ">pid", ">uptime", "address"];
    let mut table = Table::new(Style::for_stdout(), &columns);
    let mut ready = true;
    for component in stack.layout().components() {
        let health = stack.health(component).await;
        ready &= health == Health::Ready;
        let state = match &health {
            Health::Ready => Cell::good("ready"),
            Health::NotReady(_) => Cell::bad("not ready"),
            Health::Stopped => Cell::bad("stopped"),
        };
        let process = stack.process(component).map(|process| {
            let address = stack.layout().describe(component);
            [Cell::plain(process.pid), Cell::plain(uptime(process.uptime())), Cell::plain(address)]
        });
        table.row([Cell::plain(component), state].into_iter().chain(process.into_iter().flatten()));
        if let Health::NotReady(reason) = health {
            table.note(Cell::bad(reason));
        }
    }
    let mut text = table.text();
    if stack.layout().broker.is_none() {
        text += "AMQP_URL names the broker\n";
    }
    if stack.layout().traces.is_none() {
        text += "OTEL_EXPORTER_OTLP_ENDPOINT names the trace backend\n";
    }
    if !ready {
        text += "`make up` starts what is stopped; `make logs` shows why a service is not ready\n";
    }
    show(&text)?;
    Ok(ready)
}
