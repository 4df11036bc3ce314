//! The server of the page.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, SET_COOKIE},
    },
    middleware::from_fn_with_state,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{get, post},
};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

use super::{
    actions::{self, Failure},
    guard::{Guard, SESSION, guard},
    journey::{self, Subject},
    links::Links,
    live::{self, Live},
    page::with_files,
    session::{Session, TOKEN},
    shared::Shared,
};
use crate::{drill::Alert, settings::Options};

/// Bytes of a request.
const MAX_REQUEST: usize = 16 << 10;
/// Parts of a journey that wait for a slow browser.
const MAX_PARTS: usize = 8;
/// So often a stream says that it is alive.
const ALIVE: Duration = Duration::from_secs(10);

/// Serves the console of a stack until the process ends.
///
/// # Errors
/// When there is no token, or the address is in use.
pub async fn serve(options: Options, listen: SocketAddr) -> Result<()> {
    let token = options.settings()?.remove(TOKEN).context("cannot find CONSOLE_TOKEN in .env")?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let guarded = Arc::new(Guard { session: Session::new(&token, listen.port()), listen });
    let (shared, live) = (Arc::new(Shared::new(options)), Arc::<Live>::default());
    live::follow(&shared, &live);
    let actions = actions::routes(&shared);
    let session = Router::new().route(SESSION, post(exchange)).with_state(guarded.clone());
    let api = Router::new()
        .route("/livez", get(async || "ok"))
        .route("/api/about", get(about))
        .route("/api/events", get(events))
        .route("/api/journey", post(journey))
        .with_state((shared, live));
    let routes = with_files(api.merge(actions).merge(session))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .layer(from_fn_with_state(guarded, guard));
    axum::serve(listener, routes).await.context("cannot serve the console")
}

type Console = State<(Arc<Shared>, Arc<Live>)>;

#[derive(Deserialize)]
struct Exchanged {
    token: String,
}

/// Exchanges the token in the link for the cookie.
async fn exchange(State(guard): State<Arc<Guard>>, Json(Exchanged { token }): Json<Exchanged>) -> Response {
    match guard.session.exchange(&token) {
        Some(cookie) => {
            (StatusCode::NO_CONTENT, HeaderMap::from_iter([(SET_COOKIE, cookie)])).into_response()
        }
        None => {
            (StatusCode::UNAUTHORIZED, "refused: this is not the token of this console\n").into_response()
        }
    }
}

/// The stack, its pages, and what can be drilled.
async fn about(State((shared, _)): Console) -> Result<Json<Value>, Failure> {
    let stack = shared.backends().await?.stack;
    let facts = stack.facts();
    let drills: Vec<Value> = Alert::ALL
        .iter()
        .map(|alert| json!({"alert": alert.to_string(), "cause": alert.cause(), "service": alert.service()}))
        .collect();
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "stack": facts.name,
        "title": facts.title,
        "links": Links::of(stack, &shared.places()?)?,
        "deliversAlerts": facts.delivers_alerts,
        "drills": drills,
    })))
}

/// The topics and their changes, as server-sent events.
async fn events(State((shared, live)): Console) -> impl IntoResponse {
    let (newest, changes) = shared.hub.listen();
    let first = stream::iter(newest.into_iter().chain(live.snapshot()));
    // A page that is too far behind connects again.
    let rest = stream::unfold(changes, async |mut changes| Some((changes.recv().await.ok()?, changes)));
    let events: std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>> =
        Box::pin(first.chain(rest).map(|(topic, value)| Ok(Event::default().event(topic).data(&*value))));
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE))
}

#[derive(Deserialize)]
struct Wanted {
    id: String,
}

/// The parts of a journey, a line of JSON each. The id is in the body: no URL holds what a person has looked for.
async fn journey(State((shared, _)): Console, Json(Wanted { id }): Json<Wanted>) -> Response {
    let subject = match Subject::parse(&id) {
        Ok(subject) => subject,
        Err(error) => return Failure::bad(error.to_string()).into_response(),
    };
    let (to, parts) = mpsc::channel(MAX_PARTS);
    tokio::spawn(journey::tell(shared, subject, to));
    let parts = stream::unfold(parts, async |mut parts: mpsc::Receiver<String>| {
        Some((Ok::<_, Infallible>(parts.recv().await?), parts))
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(parts)).into_response()
}
