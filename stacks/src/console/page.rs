//! The files of the page, which are part of the program.

use axum::{
    Router,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Path, type and contents of each file.
const FILES: [(&str, &str, &str); 14] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/page/icon.svg", SVG, include_str!("page/icon.svg")),
    ("/page/style.css", CSS, include_str!("page/style.css")),
    ("/page/journey.css", CSS, include_str!("page/journey.css")),
    ("/page/app.js", SCRIPT, include_str!("page/app.js")),
    ("/page/ask.js", SCRIPT, include_str!("page/ask.js")),
    ("/page/break.js", SCRIPT, include_str!("page/break.js")),
    ("/page/chart.js", SCRIPT, include_str!("page/chart.js")),
    ("/page/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/page/events.js", SCRIPT, include_str!("page/events.js")),
    ("/page/journey.js", SCRIPT, include_str!("page/journey.js")),
    ("/page/links.js", SCRIPT, include_str!("page/links.js")),
    ("/page/live.js", SCRIPT, include_str!("page/live.js")),
    ("/page/waterfall.js", SCRIPT, include_str!("page/waterfall.js")),
];

/// Adds the files to the routes.
pub(super) fn with_files<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    FILES
        .into_iter()
        .fold(routes, |routes, (path, kind, text)| routes.route(path, get(async move || file(kind, text))))
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    // A new version of the program has other files under the same names.
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], text)
}
