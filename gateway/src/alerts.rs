//! `POST|GET /alerts`: the routes of the [`AlertLog`], for Alertmanager and for operators, with a token of their own.
//! Without a token in the settings they answer 404.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::{Addr, MailboxError};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use service::http::{Beginning, get, read_beginning, resource};
use service::json::Object;
use service::problem::{FieldError, Problem};
use service::token::{Authorized, Token};
use telemetry::Traced;
use time::OffsetDateTime;

use crate::alert_log::{AlertLog, ListNotices, Notice, Omitted, RecordNotices, Status};

pub(crate) const ALERTS: &str = "/alerts";

/// Bytes of a notification that are read. Alertmanager's `max_alerts` keeps it below; of a larger one, the alerts in its
/// beginning are recorded.
const MAX_BODY: usize = 1024 * 1024;
/// The labels, annotations and bytes of each that a notice keeps; times the notices that are kept, a bound of their memory.
const MAX_ENTRIES: usize = 32;
const MAX_TEXT: usize = 1024;
const BODY_DEADLINE: Duration = Duration::from_secs(5);
/// The version of the webhook's body that is read.
const VERSION: &str = "4";

/// Adds the routes.
pub(crate) fn alert_routes(routes: &mut web::ServiceConfig, token: Option<&Token>, log: &Addr<AlertLog>) {
    let Some(token) = token else {
        routes.service(web::resource(ALERTS).default_service(web::to(no_token)));
        return;
    };
    let alerts = resource(ALERTS, "GET, HEAD, POST")
        .app_data(web::Data::new(token.clone()))
        .app_data(web::Data::new(log.clone()))
        .route(get().to(recent))
        .route(web::post().to(record));
    routes.service(alerts);
}

/// The body of Alertmanager's webhook as far as it is kept; fields that a later release adds are ignored.
#[derive(Deserialize)]
struct Webhook {
    version: String,
    alerts: Vec<Object<Alert>>,
    /// The alerts that `max_alerts` has left out.
    #[serde(default, rename = "truncatedAlerts")]
    truncated: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(with = "time::serde::rfc3339")]
    starts_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    ends_at: OffsetDateTime,
    #[serde(default)]
    fingerprint: String,
}

async fn record(
    _: Authorized,
    request: HttpRequest,
    payload: web::Payload,
    log: web::Data<Addr<AlertLog>>,
) -> Result<HttpResponse, Problem> {
    let Beginning { bytes, is_whole } = read_beginning(&request, payload, MAX_BODY, BODY_DEADLINE).await?;
    let webhook = if is_whole {
        let Object(webhook): Object<Webhook> = serde_json::from_slice(&bytes)?;
        webhook
    } else {
        Webhook::beginning(&bytes).ok_or_else(|| Problem::too_large(MAX_BODY).closing())?
    };
    let omitted = match (is_whole, webhook.truncated) {
        (true, 0) => Omitted::None,
        (true, alerts) => Omitted::Alerts(alerts),
        (false, _) => Omitted::Rest,
    };
    let notices = webhook.notices(OffsetDateTime::now_utc())?;
    log.send(Traced::new(RecordNotices { notices, omitted })).await.map_err(gone)?;
    let mut response = HttpResponse::NoContent();
    if !is_whole {
        response.force_close();
    }
    Ok(response.finish())
}

async fn recent(_: Authorized, log: web::Data<Addr<AlertLog>>) -> Result<web::Json<Vec<Notice>>, Problem> {
    Ok(web::Json(log.send(ListNotices).await.map_err(gone)?))
}

async fn no_token() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found("There is no alert log: set ALERTS_TOKEN and restart the service."))
}

fn gone(_: MailboxError) -> Problem {
    Problem::unavailable("The alert log is not available. Repeat the request.")
}

impl Webhook {
    /// The alerts that are whole in the beginning of a notification: Alertmanager writes them before all that is as long.
    fn beginning(bytes: &[u8]) -> Option<Self> {
        const ALERTS: &[u8] = b"\"alerts\":[";
        // Quotation marks within texts are escaped.
        let at = bytes.windows(ALERTS.len()).position(|window| window == ALERTS)?;
        let mut rest = &bytes[at + ALERTS.len()..];
        let mut alerts = Vec::new();
        loop {
            let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Object<Alert>>();
            let Some(Ok(alert)) = values.next() else { break };
            rest = &rest[values.byte_offset()..];
            rest = rest.strip_prefix(b",").unwrap_or(rest);
            alerts.push(alert);
        }
        // Its version may be in the rest.
        (!alerts.is_empty()).then(|| Self { version: VERSION.to_owned(), alerts, truncated: 0 })
    }

    fn notices(self, received_at: OffsetDateTime) -> Result<Vec<Notice>, Problem> {
        if self.version != VERSION {
            return Err(wrong("/version".into(), "must be \"4\""));
        }
        let notice = |(index, Object(alert)): (usize, Object<Alert>)| {
            let status = match alert.status.as_str() {
                "firing" => Status::Firing,
                "resolved" => Status::Resolved,
                _ => return Err(wrong(format!("/alerts/{index}/status"), "must be firing or resolved")),
            };
            Ok(Notice {
                status,
                received_at,
                starts_at: alert.starts_at,
                // Alertmanager sends the year 1 for an alert that fires.
                ends_at: (status == Status::Resolved).then_some(alert.ends_at),
                labels: bounded(alert.labels),
                annotations: bounded(alert.annotations),
                fingerprint: cut(alert.fingerprint),
            })
        };
        self.alerts.into_iter().enumerate().map(notice).collect()
    }
}

fn bounded(texts: BTreeMap<String, String>) -> BTreeMap<String, String> {
    texts.into_iter().take(MAX_ENTRIES).map(|(name, text)| (cut(name), cut(text))).collect()
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
    }
    text
}

fn wrong(pointer: String, detail: &'static str) -> Problem {
    Problem::validation(vec![FieldError { pointer, code: "value".into(), detail: detail.into() }])
}

#[cfg(test)]
mod tests;
