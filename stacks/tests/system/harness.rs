//! The system under test: the three services and the trace backend on free ports, with a directory and a virtual host
//! of their own. Dropping it ends them; after a failure the directory stays.

mod answer;
mod edited;
mod program;
mod prometheus;
mod raw;
mod tls;

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use stacks::{
    address::url,
    backends::{Traces as _, embedded::EmbeddedJaeger},
    http,
    local::{LocalStack, layout::Component},
    progress::Progress,
    secrets,
    settings::Options,
    trace::{ORDER, Trace},
};
use tempfile::TempDir;
use testkit::{exposition::Samples, rabbitmq::VirtualHost, wait::eventually};

pub(crate) use self::{
    answer::Answer,
    program::{Ended, Program, database, environment, inherited, serving},
    prometheus::Prometheus,
    raw::{Connection, ask, request},
    tls::{Authority, Front, SelfSigned},
};

/// The span of the decision: the only span of an order that crosses no process boundary.
pub(crate) const SETTLE: (&str, &str, &str) = ("payment-service", "internal", "settle payment");

pub(crate) struct System {
    pub(crate) stack: LocalStack,
    pub(crate) vhost: VirtualHost,
    client: Client,
    dir: TempDir,
}

/// The ids of a placed order.
pub(crate) struct Placed {
    pub(crate) id: String,
    pub(crate) trace: String,
}

impl System {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts a system with these settings over those that make tests fast.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        Self::with_binaries(&program::directory(), settings).await
    }

    /// With the services in this directory.
    pub(crate) async fn with_binaries(binaries: &Path, settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vhost = VirtualHost::create().await;
        let amqp = vhost.amqp_url();
        let fast = [
            ("AMQP_URL", amqp.as_str()),
            ("MAIL_LATENCY", "0ms"),
            ("PAYMENT_LATENCY", "20ms"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("ALERTS", "off"),
        ];
        let mut env = environment();
        env.extend(fast.iter().chain(settings).map(|(key, value)| ((*key).into(), (*value).into())));
        let options = Options { dir: dir.path().into(), env, free_ports: true, binaries: binaries.into() };
        let stack = LocalStack::up(&options, &mut Progress::silent()).await.unwrap();
        Self { stack, vhost, client: http::client().unwrap(), dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Ends the process of a service as a crash would.
    pub(crate) fn kill(&mut self, service: Component) {
        self.stack.kill(service).unwrap();
    }

    /// Starts a service again and waits until it is ready.
    pub(crate) async fn restart(&mut self, service: Component) {
        self.stack.start(service, &mut Progress::silent()).await.unwrap();
    }

    /// Places the sample order.
    pub(crate) async fn place(&self) -> Placed {
        let answer = self.post(&[], None).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        Placed::from(&answer)
    }

    /// Requests an order with this body.
    pub(crate) async fn place_with(&self, order: &Value, headers: &[(&str, &str)]) -> Answer {
        self.post(headers, Some(order)).await
    }

    /// `POST /create-order`.
    pub(crate) async fn post(&self, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut request = self.client.post(self.stack.gateway_url() + "/create-order");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    /// `GET /orders/{id}`.
    pub(crate) async fn order(&self, id: &str) -> Answer {
        self.get(Component::Gateway, &format!("/orders/{id}")).await
    }

    pub(crate) async fn get(&self, service: Component, path: &str) -> Answer {
        let request = self.client.request(Method::GET, self.url(service) + path);
        Answer::of(request.send().await.unwrap()).await
    }

    /// The dead letters of the mailer: given up, held or parked.
    pub(crate) async fn dead_letters(&self) -> Vec<Value> {
        let url = self.url(Component::Mailer) + "/dead-letters?limit=1000";
        let answer = self.client.get(url).bearer_auth(self.mailer_token()).send().await.unwrap();
        let answer = Answer::of(answer).await;
        answer.body.as_array().unwrap_or_else(|| panic!("no list: {answer:?}")).clone()
    }

    pub(crate) fn url(&self, service: Component) -> String {
        url(self.stack.layout().listens(service)[0].0)
    }

    /// Host and port of a service.
    pub(crate) fn address(&self, service: Component) -> String {
        self.url(service).replace("http://", "")
    }

    /// The token that payment accepts.
    pub(crate) fn payment_token(&self) -> String {
        self.secret("PAYMENT_TOKEN")
    }

    /// The token that the mailer accepts.
    pub(crate) fn mailer_token(&self) -> String {
        self.secret("MAILER_TOKEN")
    }

    /// A secret in `.env`.
    pub(crate) fn secret(&self, name: &str) -> String {
        secrets::read(&self.dir().join(".env")).unwrap()[name].clone()
    }

    /// The complete trace of an order.
    pub(crate) async fn trace(&self, id: &str) -> Trace {
        let whole: Vec<_> = ORDER.into_iter().chain([SETTLE]).collect();
        self.trace_with(id, &whole).await
    }

    /// A trace, as soon as it has these spans, each as often as it is named.
    pub(crate) async fn trace_with(&self, id: &str, named: &[(&str, &str, &str)]) -> Trace {
        let jaeger = EmbeddedJaeger::new(self.client.clone(), self.stack.jaeger_url().unwrap());
        eventually(&format!("trace {id}"), async || {
            let trace = jaeger.trace(id).await.map_err(|error| error.to_string())?;
            let trace = trace.ok_or("it is unknown")?;
            let found = |name| {
                trace.spans.iter().filter(|span| (&*span.service, &*span.kind, &*span.name) == name).count()
            };
            let expected = |name| named.iter().filter(|other| **other == name).count();
            match named.iter().find(|name| found(**name) < expected(**name)) {
                Some(missing) => Err(format!("the span {missing:?} is missing")),
                None => Ok(trace),
            }
        })
        .await
    }

    /// The metrics of a service.
    pub(crate) async fn metrics(&self, service: Component) -> Samples {
        Samples::parse(&self.metrics_text(service).await).unwrap()
    }

    pub(crate) async fn metrics_text(&self, service: Component) -> String {
        let answer = self.client.get(self.url(service) + "/metrics").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    }

    /// Waits until a series of a service has this value.
    pub(crate) async fn reaches(&self, service: Component, series: &str, value: f64) {
        eventually(&format!("{series} = {value} in {service}"), async || {
            let now = self.metrics(service).await.get(series);
            if now == value { Ok(()) } else { Err(format!("it is {now}")) }
        })
        .await;
    }

    /// The state of an order once its event is published.
    pub(crate) async fn published(&self, order: &str) -> Value {
        eventually(&format!("the event of order {order}"), async || {
            let answer = self.order(order).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            if answer.body["event"] == "published" { Ok(answer.body) } else { Err(answer.body.to_string()) }
        })
        .await
    }

    /// The e-mail about an order, as soon as it is written.
    pub(crate) async fn email(&self, order: &str) -> String {
        let file = self.mail_dir().join(format!("{order}.eml"));
        eventually(&format!("{}", file.display()), async || {
            fs::read_to_string(&file).map_err(|e| e.to_string())
        })
        .await
    }

    /// The names of all files in the directory for e-mails.
    pub(crate) fn emails(&self) -> Vec<String> {
        let files = fs::read_dir(self.mail_dir()).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn mail_dir(&self) -> PathBuf {
        self.stack.mail_dir().unwrap()
    }

    /// Waits until the gateway has logged this number of orders of synthetic clients.
    pub(crate) async fn marks_synthetic(&self, orders: usize) {
        eventually(&format!("{orders} marked orders in the log of the gateway"), async || {
            let mark = r#""user_agent.synthetic.type":"test""#;
            let marked = self.log("order-gateway").iter().filter(|line| line.contains(mark)).count();
            if marked == orders { Ok(()) } else { Err(format!("there are {marked}")) }
        })
        .await;
    }

    /// The log lines of a service.
    pub(crate) fn log(&self, service: &str) -> Vec<String> {
        let text = fs::read_to_string(self.stack.log_dir().join(format!("{service}.log"))).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        for service in Component::SERVICES.into_iter().rev() {
            // The tests of the lifecycle drain; here a kill saves time.
            let _ = self.stack.kill(service);
        }
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("the files of the services stay in {}", self.dir.path().display());
        }
    }
}

impl From<&Answer> for Placed {
    fn from(answer: &Answer) -> Self {
        Self { id: answer.text("orderId").to_owned(), trace: answer.text("traceId").to_owned() }
    }
}

/// An order of a customer with a cart.
pub(crate) fn books(email: &str) -> Value {
    json!({
        "customer": {"email": email},
        "items": [
            {"sku": "BOOK-1", "quantity": 2, "unitPrice": "49.99"},
            {"sku": "PEN", "quantity": 1, "unitPrice": "0.02"},
        ],
        "currency": "USD",
    })
}
