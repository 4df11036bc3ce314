//! `stacks up` and `down` as the Makefile calls them: `up` proves one order, a second `up` changes nothing, and `down`
//! stops exactly the processes that were started.

use std::{collections::BTreeMap, fs, path::Path};

use stacks::{
    address::url,
    http,
    local::{layout::Component, state::State},
    process::Process,
};
use tempfile::TempDir;
use testkit::{exposition::Samples, rabbitmq::VirtualHost, wait::eventually};

use crate::harness::{Ended, Program};

/// The directory of a stack. Dropping it kills the processes of the stack.
struct Root(TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    async fn stacks(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
        Program::start("stacks", arguments, self.path(), settings).ended().await
    }

    fn state(&self) -> Option<State> {
        State::read(&self.path().join("var/local.json")).unwrap()
    }

    fn processes(&self) -> BTreeMap<Component, Process> {
        self.state().map(|state| state.processes).unwrap_or_default()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        for process in self.processes().values().rev() {
            process.kill();
        }
    }
}

fn assert_well(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
}

#[tokio::test]
async fn up_proves_one_order_and_down_leaves_nothing() {
    let root = Root::new();
    // Without AMQP_URL, `up` starts a broker.
    let up = root.stacks(&["up", "--free-ports"], &[("RATE_LIMIT", "redis")]).await;
    assert_well(&up);
    let processes = root.processes();
    assert_eq!(processes.keys().copied().collect::<Vec<_>>(), Component::ALL);
    let components = ["epmd", "rabbitmq", "traces", "redis", "payment", "mailer", "gateway"];
    let started = components.map(|component| format!("start {component}"));
    for stage in started.into_iter().chain(["place order", "fetch trace", "read logs"].map(str::to_owned)) {
        assert!(up.stderr.contains(&format!("✓ {stage} ")), "no stage {stage} in {}", up.stderr);
    }
    for part in [
        "POST /create-order",
        "settle payment",
        "publish checkout:payment.succeeded",
        "process checkout:payment.succeeded:mailer.payments",
        "send email",
        // One of them is the question to Redis.
        "EVALSHA rate limit",
        "8 spans · 3 services",
        "order placed",
        "e-mail sent",
    ] {
        assert!(up.stdout.contains(part), "`{part}` is not in {}", up.stdout);
    }

    let traces = root.state().unwrap().layout.traces.unwrap();
    let link = format!("http://localhost:{}/trace/", traces.ui.port());
    let link =
        up.stdout.split_whitespace().find(|word| word.starts_with(&link)).expect("a link to the trace");
    let page = http::client().unwrap().get(link).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("Jaeger UI"), "{link} is no page of Jaeger");

    let again = root.stacks(&["up", "--free-ports"], &[]).await;
    assert_well(&again);
    assert!(again.stderr.contains("nothing was started"), "{}", again.stderr);
    assert_eq!(root.processes(), processes);
    let status = root.stacks(&["status"], &[]).await;
    assert_well(&status);
    assert!(status.stdout.contains("redis://localhost:"), "{}", status.stdout);
    let gateway = url(root.state().unwrap().layout.gateway) + "/metrics";
    let page = reqwest::get(gateway).await.unwrap().text().await.unwrap();
    let admitted = Samples::parse(&page).unwrap().get("rate_limit_admitted_total{by=\"store\"}");
    assert!(admitted >= 1.0, "Redis has admitted {admitted} requests");

    let down = root.stacks(&["down"], &[]).await;
    assert_well(&down);
    for (component, process) in &processes {
        assert!(!process.is_alive(), "{component} still runs");
    }
    assert!(root.state().is_none());
    assert_ne!(root.stacks(&["status"], &[]).await.code, Some(0));
    let nothing = root.stacks(&["down"], &[]).await;
    assert_well(&nothing);
    assert!(nothing.stderr.contains("nothing is running"), "{}", nothing.stderr);
}

#[tokio::test]
async fn an_order_is_found_with_a_given_broker_and_after_a_restart() {
    let (root, vhost) = (Root::new(), VirtualHost::create().await);
    let amqp = vhost.amqp_url();
    let settings = [("AMQP_URL", amqp.as_str()), ("MAIL_LATENCY", "0ms"), ("PAYMENT_LATENCY", "0ms")];
    let up = root.stacks(&["up", "--free-ports"], &settings).await;
    assert_well(&up);
    assert!(!root.processes().contains_key(&Component::Rabbitmq), "AMQP_URL names a broker");
    let emails = fs::read_dir(root.path().join("var/mail")).unwrap();
    let order =
        emails.map(|e| e.unwrap().path()).next().unwrap().file_stem().unwrap().to_str().unwrap().to_owned();

    let trace = root.stacks(&["trace", "--order", &order], &settings).await;
    assert_well(&trace);
    assert!(trace.stdout.contains("7 spans · 3 services"), "{}", trace.stdout);
    let logs = root.stacks(&["logs", "--order", &order], &settings).await;
    assert_well(&logs);
    for service in ["order-gateway", "payment-service", "email-service"] {
        assert!(logs.stdout.contains(service), "{service} is not in {}", logs.stdout);
    }

    // Only the killed process is started again, on its old port.
    let before = root.processes();
    before[&Component::Payment].kill();
    assert_ne!(root.stacks(&["status"], &settings).await.code, Some(0));
    let again = root.stacks(&["up", "--free-ports"], &settings).await;
    assert_well(&again);
    let after = root.processes();
    let changed: Vec<_> = before.keys().filter(|component| before[component] != after[component]).collect();
    assert_eq!(changed, [&Component::Payment]);
    assert_well(&root.stacks(&["trace", "--order", &order], &settings).await);

    assert_well(&root.stacks(&["down"], &settings).await);
    eventually("the end of all processes", async || {
        let alive: Vec<_> = after.iter().filter(|(_, process)| process.is_alive()).collect();
        if alive.is_empty() { Ok(()) } else { Err(format!("{alive:?}")) }
    })
    .await;
    assert_well(&root.stacks(&["logs", "--order", &order], &settings).await);
}

#[tokio::test]
async fn up_works_and_says_so_where_no_traces_are_recorded() {
    let (root, vhost) = (Root::new(), VirtualHost::create().await);
    let amqp = vhost.amqp_url();
    let settings = [("AMQP_URL", amqp.as_str()), ("OTEL_TRACES_EXPORTER", "none")];
    let up = root.stacks(&["up", "--free-ports"], &settings).await;
    assert_well(&up);
    assert!(up.stderr.contains("the gateway records no traces"), "{}", up.stderr);
    assert!(up.stdout.contains("order placed") && up.stdout.contains("event received"), "{}", up.stdout);
    assert!(up.stdout.contains("make logs ORDER=") && !up.stdout.contains("make trace"), "{}", up.stdout);
}

#[tokio::test]
async fn up_shows_the_trace_of_services_that_compress() {
    let (root, vhost) = (Root::new(), VirtualHost::create().await);
    let amqp = vhost.amqp_url();
    let settings = [("AMQP_URL", amqp.as_str()), ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")];
    let up = root.stacks(&["up", "--free-ports"], &settings).await;
    assert_well(&up);
    assert!(up.stdout.contains("7 spans · 3 services"), "{}", up.stdout);
}

#[tokio::test]
async fn a_busy_port_is_named_before_anything_is_started() {
    let (root, vhost) = (Root::new(), VirtualHost::create().await);
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let amqp = vhost.amqp_url();
    let up = root.stacks(&["up", "--free-ports"], &[("AMQP_URL", &amqp), ("GATEWAY_LISTEN", &address)]).await;
    assert_eq!(up.code, Some(1), "{}", up.stderr);
    let pid = format!("(pid {})", std::process::id());
    for part in [address.as_str(), "gateway", pid.as_str(), "GATEWAY_LISTEN="] {
        assert!(up.stderr.contains(part), "`{part}` is not in {}", up.stderr);
    }
    assert!(root.processes().is_empty());
}

#[tokio::test]
async fn an_unknown_store_of_the_rate_limit_is_refused() {
    let root = Root::new();
    let up = root.stacks(&["up", "--free-ports"], &[("RATE_LIMIT", "memcached")]).await;
    assert_eq!(up.code, Some(1), "{}", up.stderr);
    assert!(up.stderr.contains("cannot use RATE_LIMIT=memcached"), "{}", up.stderr);
    assert!(root.processes().is_empty());
}

#[tokio::test]
async fn up_without_prometheus_succeeds_and_names_what_is_missing() {
    let (root, vhost) = (Root::new(), VirtualHost::create().await);
    let amqp = vhost.amqp_url();
    // With an empty search path nothing is installed; the services are found beside `stacks`.
    let settings = [("AMQP_URL", amqp.as_str()), ("MAIL_LATENCY", "0ms"), ("PATH", "/nowhere")];
    let up = root.stacks(&["up", "--free-ports"], &settings).await;
    assert_well(&up);
    assert!(up.stderr.contains("stacks/local/install prometheus prometheus-alertmanager"), "{}", up.stderr);
    assert!(!root.processes().contains_key(&Component::Prometheus));
    assert_well(&root.stacks(&["down"], &settings).await);

    let unwanted = [&settings[..], &[("ALERTS", "off")]].concat();
    let up = root.stacks(&["up", "--free-ports"], &unwanted).await;
    assert_well(&up);
    assert!(!up.stderr.contains("prometheus-alertmanager"), "{}", up.stderr);
    assert_well(&root.stacks(&["down"], &unwanted).await);
}
