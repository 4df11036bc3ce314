//! The routes of the mailer, for operators: dead letters and the simulation.

use actix::{Addr, MailboxError};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use service::http::{get, resource};
use service::problem::Problem;
use service::simulation::{SIMULATION, simulation_routes};
use service::token::{Authorized, Token};
use telemetry::Traced;

use crate::config::Config;
use crate::dead_letter::{DeadLetter, Story};
use crate::dead_letters::{
    DeadLetterError, DeadLetters, DiscardDeadLetters, FindDeadLetter, ListDeadLetters, ReplayDeadLetters,
};
use crate::postman::Postman;

const LIST: &str = "/dead-letters";
const ONE: &str = "/dead-letters/{event_id}";
const REPLAY_ALL: &str = "/dead-letters/replay";
const REPLAY: &str = "/dead-letters/{event_id}/replay";
/// The routes whose series exist from the start: method, template, status of success.
pub const ROUTES: [(&str, &str, &str); 8] = [
    ("GET", LIST, "200"),
    ("DELETE", LIST, "200"),
    ("GET", ONE, "200"),
    ("DELETE", ONE, "200"),
    ("POST", REPLAY_ALL, "200"),
    ("POST", REPLAY, "200"),
    ("GET", SIMULATION, "200"),
    ("PUT", SIMULATION, "200"),
];

const MAX_LISTED: u32 = 1000;

/// The routes of the mailer.
pub fn routes(
    config: &Config,
    dead_letters: Addr<DeadLetters>,
    postman: Addr<Postman>,
) -> impl Fn(&mut web::ServiceConfig) + Clone + use<> {
    let token = web::Data::new(Token::new(&config.mailer_token));
    let start = config.simulation();
    move |app| {
        app.app_data(token.clone())
            .app_data(web::Data::new(dead_letters.clone()))
            .service(
                resource(LIST, "DELETE, GET, HEAD")
                    .route(get().to(list))
                    .route(web::delete().to(discard_all)),
            )
            .service(resource(REPLAY_ALL, "POST").route(web::post().to(replay_all)))
            .service(resource(REPLAY, "POST").route(web::post().to(replay)))
            .service(
                resource(ONE, "DELETE, GET, HEAD").route(get().to(find)).route(web::delete().to(discard)),
            )
            .configure(|app| simulation_routes(app, &postman, &start));
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default = "default_limit")]
    limit: u32,
}

fn default_limit() -> u32 {
    100
}

#[derive(Serialize)]
struct Replayed {
    replayed: u64,
}

#[derive(Serialize)]
struct Discarded {
    discarded: u64,
}

async fn list(
    _: Authorized,
    request: HttpRequest,
    dead_letters: web::Data<Addr<DeadLetters>>,
) -> Result<web::Json<Vec<DeadLetter>>, Problem> {
    let limit = web::Query::<Page>::from_query(request.query_string()).map(|page| page.limit);
    let limit = limit.ok().filter(|limit| (1..=MAX_LISTED).contains(limit)).ok_or_else(|| {
        let detail = format!("limit must be a number from 1 to {MAX_LISTED}.");
        Problem::new(StatusCode::BAD_REQUEST, "query-invalid", "Query not valid", detail)
    })?;
    Ok(web::Json(dead_letters.send(Traced::new(ListDeadLetters(limit))).await.map_err(gone)??))
}

async fn find(
    _: Authorized,
    dead_letters: web::Data<Addr<DeadLetters>>,
    event: web::Path<String>,
) -> Result<web::Json<Story>, Problem> {
    let find = FindDeadLetter(event.into_inner());
    let story = dead_letters.send(Traced::new(find)).await.map_err(gone)??;
    story.map(web::Json).ok_or_else(unknown)
}

async fn replay_all(
    _: Authorized,
    dead_letters: web::Data<Addr<DeadLetters>>,
) -> Result<web::Json<Replayed>, Problem> {
    let replayed = dead_letters.send(Traced::new(ReplayDeadLetters(None))).await.map_err(gone)??;
    Ok(web::Json(Replayed { replayed }))
}

async fn replay(
    _: Authorized,
    dead_letters: web::Data<Addr<DeadLetters>>,
    event: web::Path<String>,
) -> Result<web::Json<Replayed>, Problem> {
    let replay = ReplayDeadLetters(Some(event.into_inner()));
    let replayed = found(dead_letters.send(Traced::new(replay)).await.map_err(gone)??)?;
    Ok(web::Json(Replayed { replayed }))
}

async fn discard_all(
    _: Authorized,
    dead_letters: web::Data<Addr<DeadLetters>>,
) -> Result<web::Json<Discarded>, Problem> {
    let discarded = dead_letters.send(Traced::new(DiscardDeadLetters(None))).await.map_err(gone)??;
    Ok(web::Json(Discarded { discarded }))
}

async fn discard(
    _: Authorized,
    dead_letters: web::Data<Addr<DeadLetters>>,
    event: web::Path<String>,
) -> Result<web::Json<Discarded>, Problem> {
    let discard = DiscardDeadLetters(Some(event.into_inner()));
    let discarded = found(dead_letters.send(Traced::new(discard)).await.map_err(gone)??)?;
    Ok(web::Json(Discarded { discarded }))
}

/// The number of dead letters with an id, of which there must be one.
fn found(number: u64) -> Result<u64, Problem> {
    (number > 0).then_some(number).ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::not_found("There is no dead letter with this event id.")
}

fn gone(_: MailboxError) -> Problem {
    Problem::unavailable("The dead letters are not available. Restart the service.")
}

impl From<DeadLetterError> for Problem {
    fn from(error: DeadLetterError) -> Self {
        Self::unavailable(match error {
            DeadLetterError::Store(_) => "The inbox is not available. Repeat the request.",
            DeadLetterError::Parking(_) => {
                "The parking queue can't be reached: is the broker up? Messages that were put back stay so. Repeat the request."
            }
        })
    }
}
