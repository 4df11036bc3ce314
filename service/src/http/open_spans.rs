//! `GET /debug/spans`: the spans that are open now, the oldest first, so that a request that hangs is found before it ends.

use std::collections::BTreeMap;

use actix::Addr;
use actix_web::web;
use serde::Serialize;
use telemetry::{GetOpenSpans, Observability, OpenSpan};

use super::routes::{get, resource};
use crate::problem::Problem;
use crate::token::Authorized;

/// Spans in an answer; the youngest are left out.
const MAX_SPANS: usize = 1000;

#[derive(Serialize)]
struct Page {
    /// Open spans in all.
    number: usize,
    spans: Vec<Open>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    name: String,
    age_seconds: f64,
    /// Null in the first second.
    trace_id: Option<String>,
    /// Attributes whose names end in `.id`.
    ids: BTreeMap<&'static str, String>,
}

impl From<OpenSpan> for Open {
    fn from(OpenSpan { name, age, trace_id, ids }: OpenSpan) -> Self {
        Self { name, age_seconds: age.as_secs_f64(), trace_id, ids: ids.into_iter().collect() }
    }
}

/// Adds `/debug/spans`; needs a [`Token`](crate::token::Token) in the app data, and refuses every request without one.
pub(super) fn open_span_routes(app: &mut web::ServiceConfig) {
    app.service(resource("/debug/spans", "GET, HEAD").route(get().to(list)));
}

async fn list(
    _: Authorized,
    observability: web::Data<Addr<Observability>>,
) -> Result<web::Json<Page>, Problem> {
    let gone = |_| Problem::unavailable("The open spans can't be read: restart the service.");
    let spans = observability.send(GetOpenSpans).await.map_err(gone)?;
    let number = spans.len();
    Ok(web::Json(Page { number, spans: spans.into_iter().take(MAX_SPANS).map(Open::from).collect() }))
}
