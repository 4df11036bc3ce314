//! A server with one answer to every request, or one to each path, which records the requests.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, Uri},
};
use stacks::record::Recording;
use tokio::net::TcpListener;

/// A request: the path with its query, the `Authorization`, the body.
pub(crate) type Request = (String, String, String);

pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers with a file below `tests`.
    pub(crate) async fn with(status: StatusCode, file: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file);
        let answer = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::answering(status, answer).await
    }

    /// Answers as a recorded server has answered.
    pub(crate) async fn recorded(recording: &Recording, name: &str) -> Self {
        let answer = recording.answers.get(name);
        let answer = answer.unwrap_or_else(|| panic!("{} has no answer {name}", recording.folder()));
        Self::answering(StatusCode::from_u16(answer.status).unwrap(), answer.body.clone()).await
    }

    /// Answers each path that begins with one of these with a file below `tests`.
    pub(crate) async fn of(files: &[(&'static str, &str)]) -> Self {
        let read = |(path, file): &(&'static str, &str)| {
            (*path, std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file)).unwrap())
        };
        let files: Vec<(&'static str, Vec<u8>)> = files.iter().map(read).collect();
        Self::answering_by(move |path| {
            let found = files.iter().find(|(begin, _)| path.starts_with(begin));
            found.map_or((StatusCode::NOT_FOUND, Vec::new()), |(_, answer)| (StatusCode::OK, answer.clone()))
        })
        .await
    }

    async fn answering(status: StatusCode, answer: Vec<u8>) -> Self {
        Self::answering_by(move |_| (status, answer.clone())).await
    }

    async fn answering_by(
        answers: impl Fn(&str) -> (StatusCode, Vec<u8>) + Clone + Send + Sync + 'static,
    ) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = requests.clone();
        let answer = async move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let header = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            let body = String::from_utf8(body.to_vec()).unwrap();
            recorded.lock().unwrap().push((uri.to_string(), header.unwrap_or_default(), body));
            answers(uri.path())
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { url, requests }
    }

    pub(crate) async fn well(file: &str) -> Self {
        Self::with(StatusCode::OK, file).await
    }

    /// The last request.
    pub(crate) fn last_request(&self) -> Request {
        self.requests.lock().unwrap().last().cloned().unwrap()
    }
}
