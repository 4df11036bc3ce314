//! The mailer's HTTP interface: dead letters and simulated trouble for an operator, and the routes of operations.

use std::time::Duration;

use actix::{Addr, MailboxError};
use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpRequest, HttpServer, web};
use payment_api::Object;
use payment_api::auth::{Authorized, Token};
use payment_api::simulation::SIMULATION;
use serde::{Deserialize, Serialize};
use telemetry::http::{
    Observer, Probes, get, guard_connection, not_found, observe, probe_routes, read_json, resource,
    server_spans,
};
use telemetry::problem::Problem;
use telemetry::{Traced, lifecycle};

use crate::config::Config;
use crate::dead_letters::{DeadLetter, DeadLetterError, DeadLetters, List, Replay};
use crate::postman::{Postman, Simulate, Simulated};
use crate::simulation::{self, Simulation};

const LIST: &str = "/dead-letters";
const REPLAY_ALL: &str = "/dead-letters/replay";
const REPLAY: &str = "/dead-letters/{event_id}/replay";
/// What is measured from the start.
pub const ROUTES: [(&str, &str, &str); 5] = [
    ("GET", LIST, "200"),
    ("POST", REPLAY_ALL, "200"),
    ("POST", REPLAY, "200"),
    ("GET", SIMULATION, "200"),
    ("PUT", SIMULATION, "200"),
];

const MOST_LISTED: u32 = 1000;
const BODY_LIMIT: usize = 4 * 1024;
const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// Binds the port, and serves until a signal.
///
/// # Errors
/// When the port is taken.
pub fn serve(
    config: &Config,
    (dead_letters, postman): (Addr<DeadLetters>, Addr<Postman>),
    observer: Observer,
    probes: Probes,
) -> std::io::Result<Server> {
    let probes = web::Data::new(probes);
    let observer = web::Data::new(observer);
    let token = web::Data::new(Token::new(&config.mailer_token));
    let start = web::Data::new(config.simulation());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(probes.clone())
            .app_data(observer.clone())
            .app_data(token.clone())
            .app_data(web::Data::new(dead_letters.clone()))
            .app_data(web::Data::new(postman.clone()))
            .app_data(start.clone())
            .configure(routes)
            .service(
                resource(SIMULATION, "GET, HEAD, PUT")
                    .route(get().to(simulated))
                    .route(web::put().to(simulate)),
            )
            .configure(probe_routes)
            .default_service(web::to(not_found))
            .wrap(from_fn(observe))
            .wrap(server_spans())
    });
    Ok(server
        .workers(1)
        .on_connect(guard_connection)
        .disable_signals()
        .shutdown_timeout(config.shutdown_deadline.as_secs() + 1)
        .bind(config.mailer_listen)
        .map_err(lifecycle::cannot_listen("MAILER_LISTEN", config.mailer_listen))?
        .run())
}

/// The routes of dead letters; app data: the token and the actor.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource(LIST, "GET, HEAD").route(get().to(list)))
        .service(resource(REPLAY_ALL, "POST").route(web::post().to(replay_all)))
        .service(resource(REPLAY, "POST").route(web::post().to(replay)));
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default = "usual_limit")]
    limit: u32,
}

fn usual_limit() -> u32 {
    100
}

#[derive(Serialize)]
struct Replayed {
    replayed: u64,
}

async fn list(
    _: Authorized,
    request: HttpRequest,
    dead_letters: web::Data<Addr<DeadLetters>>,
) -> Result<web::Json<Vec<DeadLetter>>, Problem> {
    let limit = web::Query::<Wanted>::from_query(request.query_string()).map(|wanted| wanted.limit);
    let limit = limit.ok().filter(|limit| (1..=MOST_LISTED).contains(limit)).ok_or_else(|| {
        let detail = format!("limit must be a number from 1 to {MOST_LISTED}.");
        Problem::new(StatusCode::BAD_REQUEST, "query-invalid", "Query not valid", detail)
    })?;
    Ok(web::Json(dead_letters.send(Traced::new(List(limit))).await.map_err(gone)??))
}

async fn replay_all(
    _: Authorized,
    dead_letters: web::Data<Addr<DeadLetters>>,
) -> Result<web::Json<Replayed>, Problem> {
    let replayed = dead_letters.send(Traced::new(Replay(None))).await.map_err(gone)??;
    Ok(web::Json(Replayed { replayed }))
}

async fn replay(
    _: Authorized,
    dead_letters: web::Data<Addr<DeadLetters>>,
    event: web::Path<String>,
) -> Result<web::Json<Replayed>, Problem> {
    match dead_letters.send(Traced::new(Replay(Some(event.into_inner())))).await.map_err(gone)?? {
        0 => Err(Problem::not_found("There is no dead letter with this event id.")),
        replayed => Ok(web::Json(Replayed { replayed })),
    }
}

async fn simulated(
    _: Authorized,
    postman: web::Data<Addr<Postman>>,
) -> Result<web::Json<Simulation>, Problem> {
    Ok(web::Json(postman.send(Simulated).await.map_err(stopped)?))
}

async fn simulate(
    _: Authorized,
    request: HttpRequest,
    payload: web::Payload,
    postman: web::Data<Addr<Postman>>,
    start: web::Data<Simulation>,
) -> Result<web::Json<Simulation>, Problem> {
    let body = read_json(&request, payload, BODY_LIMIT, BODY_DEADLINE).await?;
    let Object(wanted): Object<simulation::Wanted> = serde_json::from_slice(&body)?;
    let simulate = Simulate(wanted.over(**start)?);
    Ok(web::Json(postman.send(Traced::new(simulate)).await.map_err(stopped)?))
}

fn stopped(_: MailboxError) -> Problem {
    Problem::unavailable("The postman has stopped: restart the service.")
}

fn gone(_: MailboxError) -> Problem {
    Problem::unavailable("The dead letters can't be reached: try again, or restart the service.")
}

impl From<DeadLetterError> for Problem {
    fn from(error: DeadLetterError) -> Self {
        Self::unavailable(match error {
            DeadLetterError::Store(_) => "The inbox is not available. Try again.",
            DeadLetterError::Parking(_) => {
                "The parking queue can't be reached: is the broker up? What has been put back stays so. Try again."
            }
        })
    }
}
