//! `GET|PUT /log-level`: the log levels of a service that runs, changed for a while. They return by themselves, and at
//! a restart.
//!
//! `PUT {"levels": "payment=debug", "duration": "10m"}` changes one module; `{"levels": "debug", ..}` changes all. A
//! duration of `0s` restores the configured levels at once.

use actix::{Addr, MailboxError};
use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use telemetry::{GetLogLevel, LogLevel, Observability, SetLogLevel};

use super::body::read_json;
use super::routes::{get, resource};
use crate::json::Object;
use crate::lifecycle::duration;
use crate::problem::{FieldError, Problem};
use crate::token::Authorized;

const BODY_LIMIT: usize = 4 * 1024;
const BODY_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

/// The body of a change.
#[derive(Deserialize)]
struct Change {
    levels: String,
    duration: String,
}

/// The levels in force.
#[derive(Serialize)]
struct State {
    levels: String,
    /// The time until the configured levels are in force again, in seconds; null while they are.
    #[serde(rename = "remainingSeconds")]
    remaining_seconds: Option<u64>,
}

impl From<LogLevel> for State {
    fn from(LogLevel { levels, remaining }: LogLevel) -> Self {
        Self { levels, remaining_seconds: remaining.map(|remaining| remaining.as_secs()) }
    }
}

/// Adds `/log-level`; needs a [`Token`](crate::token::Token) in the app data, and refuses every request without one.
pub(super) fn log_level_routes(app: &mut web::ServiceConfig, observability: &Addr<Observability>) {
    app.app_data(web::Data::new(observability.clone()))
        .service(resource("/log-level", "GET, HEAD, PUT").route(get().to(read)).route(web::put().to(change)));
}

async fn read(
    _: Authorized,
    observability: web::Data<Addr<Observability>>,
) -> Result<web::Json<State>, Problem> {
    Ok(web::Json(observability.send(GetLogLevel).await.map_err(gone)?.into()))
}

async fn change(
    _: Authorized,
    request: HttpRequest,
    payload: web::Payload,
    observability: web::Data<Addr<Observability>>,
) -> Result<web::Json<State>, Problem> {
    let body = read_json(&request, payload, BODY_LIMIT, BODY_DEADLINE).await?;
    let Object(Change { levels, duration: text }): Object<Change> = serde_json::from_slice(&body)?;
    let duration = duration(&text).map_err(|reason| invalid("/duration", reason))?;
    let changed = observability.send(SetLogLevel { levels, duration }).await.map_err(gone)?;
    Ok(web::Json(changed.map_err(|reason| invalid("/levels", reason))?.into()))
}

fn invalid(pointer: &str, reason: String) -> Problem {
    Problem::validation(vec![FieldError {
        pointer: pointer.to_owned(),
        code: "value".into(),
        detail: reason.into(),
    }])
}

fn gone(_: MailboxError) -> Problem {
    Problem::unavailable("The log level can't be reached: restart the service.")
}
