//! `--healthcheck`, the health check of a service's container.

use stacks::{local::layout::Component, process::Signal};

use crate::harness::{Program, System};

#[tokio::test]
async fn healthcheck_reports_the_readiness_of_a_service() {
    let system = System::start().await;
    let url = system.stack.gateway_url();
    let settings =
        [("GATEWAY_LISTEN", url.trim_start_matches("http://")), ("PAYMENT_TOKEN", &system.payment_token())];
    let check = async || Program::start("gateway", &["--healthcheck"], system.dir(), &settings).ended().await;

    let well = check().await;
    assert_eq!((well.code, &*well.stderr), (Some(0), ""), "{well:?}");

    let gateway = system.stack.process(Component::Gateway).unwrap();
    gateway.signal(Signal::KILL);
    assert!(gateway.ends_within(std::time::Duration::from_secs(5)));
    let gone = check().await;
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(gone.stderr.contains("not ready: 127.0.0.1:"), "{gone:?}");
}
