//! The console over HTTP, and in a real browser.

mod accessible;
mod answers;
mod break_and_find;
mod driver;
mod links;
mod npm;
mod page;
mod screenshots;
mod types;

use reqwest::{Client, Method, RequestBuilder, header};
use serde_json::{Value, json};
use stacks::local::layout::Component;

use crate::harness::System;

/// A client of the console that has opened its link.
pub(crate) struct Console {
    client: Client,
    url: String,
    cookie: String,
}

/// A system with a console.
async fn start(settings: &[(&str, &str)]) -> System {
    System::with(&[&[("CONSOLE", "on")], settings].concat()).await
}

/// The link that `make up` prints.
fn link(system: &System) -> String {
    let console = system.stack.layout().listens(Component::Console)[0].0;
    format!("http://localhost:{}/#token={}", console.port(), system.secret("CONSOLE_TOKEN"))
}

impl Console {
    /// Exchanges the token of the link for the cookie, as the page does.
    async fn open(system: &System) -> Self {
        let (client, url) = (Client::new(), system.url(Component::Console));
        let token = json!({"token": system.secret("CONSOLE_TOKEN")});
        let request = client.post(format!("{url}/api/session")).header(header::ORIGIN, &url).json(&token);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 204);
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { client, url, cookie }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        request.header(header::COOKIE, &self.cookie).header(header::ORIGIN, &self.url)
    }

    /// Posts a document, which must be answered well.
    async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.request(Method::POST, path).json(body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The parts of a journey.
    async fn journey(&self, id: &str) -> Vec<Value> {
        let answer =
            self.request(Method::POST, "/api/journey").json(&json!({"id": id})).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A part of a journey.
fn part<'a>(parts: &'a [Value], name: &str) -> &'a Value {
    parts.iter().find(|part| part["part"] == name).unwrap_or_else(|| panic!("no part {name} in {parts:#?}"))
}
