//! An app as every service has it: what a client, an operator and a reader of its signals see of it.

use std::sync::{Arc, Mutex, OnceLock};

use actix::Addr;
use actix_web::body::{MessageBody, to_bytes};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, Error, HttpResponse};
use clap::Parser;
use serde_json::Value;
use telemetry::http::{Observer, observe, server_spans};
use telemetry::testing::{Capture, Span, attribute, hex};
use telemetry::{Observability, Settings};

use super::guard::guard_request;
use super::probes::{Check, Probes};
use super::routes::{get, resource};
use super::serve::app;
use crate::problem::Problem;
use crate::token::Token;

mod refusals;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// `Status.code` of a span on the wire.
const ERROR: i32 = 2;

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The answers of an app to requests, one after the other on this thread; all of one trace. A macro, for the type of an
/// app has no name.
macro_rules! answers {
    ($app:expr, $requests:expr) => {{
        let app = init_service($app).await;
        let mut answers = Vec::new();
        for request in $requests {
            let parent = ("traceparent", format!("00-{TRACE}-{PARENT}-01"));
            answers.push(answer(&app, request.insert_header(parent).to_request()).await);
        }
        answers
    }};
}

async fn answer<R, B: MessageBody + 'static>(
    app: &impl Service<R, Response = ServiceResponse<B>, Error = Error>,
    request: R,
) -> Answer {
    // The server writes an error that comes out of the app as a response.
    let response = match try_call_service(app, request).await {
        Ok(response) => response.into_parts().1.map_into_boxed_body(),
        Err(error) => error.error_response(),
    };
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let Ok(body) = to_bytes(response.into_body()).await else { panic!("no body") };
    Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

fn request(method: Method, path: &str) -> TestRequest {
    TestRequest::with_uri(path).method(method)
}

fn observer(seen: &Capture) -> Data<Observer> {
    Data::new(Observer::register(seen.registry(), &seen.log(), &[]).unwrap())
}

/// Probes of an Observability that exports nothing; a process has one, on a thread of its own.
fn probes() -> Probes {
    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        telemetry: Settings,
    }
    static OBSERVABILITY: OnceLock<Addr<Observability>> = OnceLock::new();
    let observability = OBSERVABILITY.get_or_init(|| {
        let (started, starting) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let silent = ["test", "--otel-traces-exporter=none", "--log-stdout=false", "--log-dir="];
                let service = telemetry::Service { name: "test", version: "0.0.0" };
                let observability = Observability::new(service, &Command::parse_from(silent).telemetry);
                started.send(observability.unwrap().launch()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        starting.recv().unwrap()
    });
    Probes::new(observability.clone())
}

async fn panics() -> HttpResponse {
    panic!("the handler met {}", "its end")
}

async fn refuses() -> Result<HttpResponse, Problem> {
    Err(Problem::unavailable("Not now.").retry_after(7))
}

fn routes(app: &mut ServiceConfig) {
    app.service(resource("/orders/{id}", "GET, HEAD").route(get().to(HttpResponse::Ok)))
        .route("/panics", web::get().to(panics))
        .route("/refuses", web::get().to(refuses));
}

fn attributes(span: &Span) -> [Option<String>; 2] {
    ["http.response.status_code", "error.type"].map(|name| attribute(span, name))
}

fn assert_panic_is_recorded(seen: &Capture, answers: &[Answer], cause: &str, route: &str) {
    let [panicked, next] = answers else { panic!("{} answers", answers.len()) };
    assert_eq!(panicked.status, 500);
    assert_eq!(panicked.header("content-type"), "application/problem+json");
    assert!(!panicked.body.contains(cause), "the cause is not for the client: {}", panicked.body);
    assert_eq!(panicked.json()["type"], "/problems/internal");
    assert_eq!(panicked.json()["traceId"], TRACE);
    assert_eq!(next.status, 200);

    let spans = seen.spans();
    let server: Vec<&Span> = spans.iter().filter(|span| span.kind == 2).collect();
    assert_eq!(panicked.header("traceresponse"), format!("00-{TRACE}-{}-01", hex(&server[0].span_id)));
    assert_eq!(server[0].status.as_ref().unwrap().code, ERROR);
    assert_eq!(attributes(server[0]), [Some("500".to_owned()), Some("500".to_owned())]);
    // A span that the panic left open would be the parent of this one.
    assert_eq!(hex(&server[1].parent_span_id), PARENT);

    let lines = seen.lines();
    assert_eq!(lines[0]["message"], "request handler panicked");
    assert_eq!(lines[0]["log.level"], "critical");
    assert_eq!(lines[0]["error.message"], cause);
    assert_eq!(lines[0]["span.id"], hex(&server[0].span_id));
    assert_eq!(lines[1]["http.response.status_code"], 500);
    let series =
        format!("http_request_duration_seconds_count{{method=\"GET\",route=\"{route}\",status=\"500\"}}");
    assert_eq!(seen.metric(&series), 1.0);
}

#[actix_rt::test]
async fn a_handler_that_panics_is_a_500_and_the_next_request_works() {
    let seen = Capture::start();
    let app = app(observer(&seen), Data::new(probes()), routes);
    let requests = ["/panics", "/orders/after"].map(|path| request(Method::GET, path));
    let answers = answers!(app, requests);
    assert_panic_is_recorded(&seen, &answers, "the handler met its end", "/panics");
}

#[actix_rt::test]
async fn a_middleware_that_panics_before_its_future_is_a_500() {
    let seen = Capture::start();
    let app = App::new()
        .app_data(observer(&seen))
        .configure(routes)
        .wrap_fn(|request, next| {
            assert!(request.path() != "/panics/in/middleware", "middleware out of order");
            next.call(request)
        })
        .wrap(from_fn(guard_request))
        .wrap(from_fn(observe))
        .wrap(server_spans());
    let requests = ["/panics/in/middleware", "/orders/after"].map(|path| request(Method::GET, path));
    let answers = answers!(app, requests);
    assert_panic_is_recorded(&seen, &answers, "middleware out of order", "unmatched");
}

#[actix_rt::test]
async fn a_problem_is_an_error_of_the_span_from_500_on() {
    let seen = Capture::start();
    let app = app(observer(&seen), Data::new(probes()), routes);
    let answers = answers!(app, [request(Method::GET, "/refuses")]);
    assert_eq!((answers[0].status, answers[0].header("retry-after")), (503, "7"));
    assert!(answers[0].headers.contains_key("traceresponse"));
    let span = &seen.spans()[0];
    assert_eq!(span.status.as_ref().unwrap().code, ERROR);
    assert_eq!(attributes(span), [Some("503".to_owned()), Some("503".to_owned())]);
    assert!(seen.lines().iter().all(|line| line["message"] != "request handler panicked"));
}

#[actix_rt::test]
async fn a_path_without_resource_is_a_problem_with_its_trace() {
    let seen = Capture::start();
    let app = app(observer(&seen), Data::new(probes()), routes);
    let answers = answers!(app, [request(Method::GET, "/no/such/path")]);
    assert_eq!(answers[0].status, 404);
    assert_eq!(answers[0].header("content-type"), "application/problem+json");
    assert!(answers[0].headers.contains_key("traceresponse"));
    let problem = answers[0].json();
    assert_eq!((&problem["type"], &problem["traceId"]), (&"/problems/not-found".into(), &TRACE.into()));
}

#[actix_rt::test]
async fn another_method_is_a_405_that_names_the_methods_there_are() {
    let seen = Capture::start();
    let app = app(observer(&seen), Data::new(probes()), routes);
    let requests = [(Method::DELETE, "/orders/1"), (Method::POST, "/metrics")];
    let requests = requests.map(|(method, path)| request(method, path));
    for answer in answers!(app, requests) {
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"));
        assert_eq!(answer.json()["type"], "/problems/method-not-allowed");
    }
}

#[actix_rt::test]
async fn the_log_level_is_read_and_changed_with_the_token() {
    let seen = Capture::start();
    let token = web::Data::new(Token::new(&"a token of the test".to_owned().into()));
    let app = app(observer(&seen), Data::new(probes()), |app| {
        app.app_data(token);
    });
    let put = |body: &'static str| {
        let request =
            request(Method::PUT, "/log-level").insert_header(("authorization", "Bearer a token of the test"));
        request.insert_header(("content-type", "application/json")).set_payload(body)
    };
    let get =
        request(Method::GET, "/log-level").insert_header(("authorization", "Bearer a token of the test"));
    let answers = answers!(
        app,
        [
            request(Method::GET, "/log-level"),
            request(Method::PUT, "/log-level"),
            get,
            put(r#"{"levels": "debug", "duration": "10m"}"#),
            put(r#"{"levels": "loud", "duration": "10m"}"#),
            put(r#"{"levels": "debug", "duration": "long"}"#),
            put(r#"{"levels": "debug", "duration": "0s"}"#),
        ]
    );
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [401, 401, 200, 200, 422, 422, 200]);
    let state = |number: usize| answers[number].json();
    assert_eq!(state(2)["remainingSeconds"], Value::Null);
    assert!(
        state(3)["levels"] == "debug" && state(3)["remainingSeconds"].as_u64().unwrap() > 590,
        "{}",
        state(3)
    );
    assert_eq!((&state(6)["levels"], &state(6)["remainingSeconds"]), (&state(2)["levels"], &Value::Null));
}

#[actix_rt::test]
async fn readyz_tells_every_check_and_fails_only_for_what_is_needed() {
    let health = Arc::new(Mutex::new(Check::Ok));
    let asked = health.clone();
    let probes = probes().check("store", move || asked.lock().unwrap().clone());
    let seen = Capture::start();
    let app = init_service(app(observer(&seen), Data::new(probes), routes)).await;
    for (state, status, overall, told) in [
        (Check::Ok, 200, "ready", "ok"),
        (Check::Degraded("replica is behind".to_owned()), 200, "ready", "degraded: replica is behind"),
        (Check::Failed("disk is full".to_owned()), 503, "not ready", "failed: disk is full"),
        (Check::Ok, 200, "ready", "ok"),
    ] {
        *health.lock().unwrap() = state;
        let ready = answer(&app, request(Method::GET, "/readyz").to_request()).await;
        assert_eq!((ready.status, &ready.json()["status"]), (status, &overall.into()));
        assert_eq!(ready.json()["checks"]["store"], told);
        assert_eq!(answer(&app, request(Method::GET, "/livez").to_request()).await.status, 200);
    }
}

#[actix_rt::test]
async fn readyz_fails_for_an_actor_that_has_stopped() {
    struct Worker;
    impl actix::Actor for Worker {
        type Context = actix::Context<Self>;
        fn started(&mut self, context: &mut Self::Context) {
            actix::ActorContext::stop(context);
        }
    }
    let seen = Capture::start();
    let alive = probes();
    let worker = actix::Actor::start(Worker);
    while worker.connected() {
        tokio::task::yield_now().await;
    }
    let app = app(observer(&seen), Data::new(alive.actor("worker", worker)), routes);
    let answers = answers!(app, [request(Method::GET, "/readyz")]);
    assert_eq!(answers[0].status, 503);
    assert_eq!(answers[0].json()["checks"]["worker"], "failed: the actor has stopped");
}

#[actix_rt::test]
async fn a_scraper_gets_the_format_that_it_likes_best() {
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = "text/plain; version=0.0.4";
    let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
        text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
        application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
        text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    let cases = [
        (prometheus_2, open),
        (prometheus_3, open),
        ("application/openmetrics-text", open),
        ("APPLICATION/OpenMetrics-Text; version=1.0.0, text/plain", open),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.3", text),
        ("application/openmetrics-text;q=0.2, */*;q=0.3", text),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.1, */*;q=0.3", open),
        ("application/openmetrics-text;q=0", text),
        ("application/openmetrics-text;version=2.0.0, */*;q=0.1", text),
        ("text/html,application/xhtml+xml,*/*;q=0.8", text),
        ("*/*", text),
        ("application/json", text),
        ("application/openmetrics-text;;q", text),
    ];
    let seen = Capture::start();
    let app = app(observer(&seen), Data::new(probes()), routes);
    let scrape = |accept| request(Method::GET, "/metrics").insert_header(("accept", accept));
    let pages = answers!(app, cases.iter().map(|(accept, _)| scrape(*accept)).collect::<Vec<_>>());
    for ((accept, expected), page) in cases.into_iter().zip(pages) {
        assert_eq!(page.header("content-type"), expected, "{accept}");
        assert_eq!(page.header("vary"), "Accept");
        assert_eq!(page.body.ends_with("\n# EOF\n"), expected == open, "{accept}");
        assert!(page.body.contains("build_info{"), "{}", page.body);
    }
    assert!(seen.lines().is_empty() && seen.spans().is_empty(), "a scrape is not recorded");
}
