//! A server that answers as the documentation of Elasticsearch and Kibana says, and records the requests.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract,
    http::{HeaderMap, Method, StatusCode, Uri, header::AUTHORIZATION},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) line: String,
    pub(crate) authorization: String,
    pub(crate) body: String,
}

/// Answers some requests in place of the documented answer.
type Objection = Box<dyn FnMut(&str) -> Option<(u16, Value)> + Send>;

#[derive(Default)]
struct State {
    requests: Vec<Received>,
    known: BTreeSet<String>,
    objection: Option<Objection>,
}

pub(crate) struct Server {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Serves on a free port until the runtime of the test ends.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener)
    }

    pub(crate) fn on(listener: TcpListener) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let router = Router::new().fallback(answer).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state }
    }

    pub(crate) fn object(self, objection: impl FnMut(&str) -> Option<(u16, Value)> + Send + 'static) -> Self {
        self.state.lock().unwrap().objection = Some(Box::new(objection));
        self
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.state.lock().unwrap().requests.clone()
    }
}

async fn answer(
    extract::State(state): extract::State<Arc<Mutex<State>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let mut state = state.lock().unwrap();
    let line = format!("{method} {uri}");
    let authorization = headers.get(AUTHORIZATION).map_or("", |value| value.to_str().unwrap()).to_owned();
    let body = String::from_utf8_lossy(&body).into_owned();
    state.requests.push(Received { line: line.clone(), authorization, body: body.clone() });
    let objection = state.objection.as_mut().and_then(|object| object(&line));
    let is_new = state.known.insert(line.clone());
    let (status, answer) =
        objection.unwrap_or_else(|| documented(&line, is_new, headers.contains_key("kbn-xsrf"), &body));
    (StatusCode::from_u16(status).unwrap(), answer.to_string())
}

fn documented(line: &str, is_new: bool, has_xsrf: bool, body: &str) -> (u16, Value) {
    let (path, _) = line.split_once('?').unwrap_or((line, ""));
    match path {
        "POST /_security/user/kibana_system/_password" => (200, json!({})),
        _ if path.starts_with("PUT /_security/role/") => (200, json!({ "role": { "created": is_new } })),
        _ if path.starts_with("PUT /_security/user/") => (200, json!({ "created": is_new })),
        _ if path.starts_with("PUT /_index_template/") => (200, json!({ "acknowledged": true })),
        "PUT /_cluster/settings" => (200, json!({ "acknowledged": true, "persistent": {}, "transient": {} })),
        "POST /api/saved_objects/_import" if has_xsrf => {
            let objects = body.lines().filter(|line| line.starts_with("{\"type\":")).count();
            (200, json!({ "successCount": objects, "success": true, "warnings": [], "successResults": [] }))
        }
        "POST /api/data_views/default" if has_xsrf => (200, json!({ "acknowledged": true })),
        _ => (404, json!({ "error": format!("no documented answer for {line}") })),
    }
}
