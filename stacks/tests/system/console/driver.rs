//! A headless Chromium, driven over W3C WebDriver: plain JSON over HTTP, for which the HTTP client in the tree is enough.

use std::{
    net::TcpListener,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use data_encoding::BASE64;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use stacks::process::Process;
use testkit::wait::{LIMIT, eventually, poll_for};

/// The key of an element in answers, by the standard.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// The size of a window, in pixels.
pub(crate) const WIDE: (u32, u32) = (1440, 1000);
/// The codes of keys that have no character.
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ENTER: &str = "\u{e007}";

/// A browser with one window. It ends with its test.
pub(crate) struct Browser {
    client: Client,
    session: String,
    driver: Child,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium is in the group of its driver.
        if let Ok(driver) = Process::of(self.driver.id()) {
            driver.kill();
        }
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// A browser whose window has this size, in pixels.
    pub(crate) async fn open((width, height): (u32, u32)) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = command.spawn().expect("chromedriver is missing: run `make test`");
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        eventually("chromedriver", async || {
            client.get(format!("{url}/status")).send().await.map_err(|e| e.to_string())
        })
        .await;
        let size = format!("--window-size={width},{height}");
        // Containers have no sandbox and a small /dev/shm.
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", &size];
        let mut options = json!({"args": arguments});
        if width < 500 {
            // No window is as narrow as a phone.
            options["mobileEmulation"] =
                json!({"deviceMetrics": {"width": width, "height": height, "pixelRatio": 1}});
        }
        let wanted = json!({"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}});
        let body = json!({"capabilities": {"alwaysMatch": wanted}});
        let made = client.post(format!("{url}/session")).json(&body).send().await.unwrap();
        let made: Value = made.json().await.unwrap();
        let id = made["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}"));
        Self { client, session: format!("{url}/session/{id}"), driver }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request.json(&body);
        }
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].clone()),
        }
    }

    /// Opens a page.
    pub(crate) async fn go(&self, url: &str) {
        self.call(Method::POST, "/url", json!({"url": url})).await.unwrap();
    }

    /// The result of a script's body in the page.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.call(Method::POST, "/execute/sync", json!({"script": script, "args": []})).await.unwrap()
    }

    /// The result of a script that ends with a call of its last argument.
    pub(crate) async fn run_async(&self, script: &str) -> Value {
        self.call(Method::POST, "/execute/async", json!({"script": script, "args": []})).await.unwrap()
    }

    /// Clicks the first element of a selector, as a person would.
    pub(crate) async fn click(&self, selector: &str) {
        eventually(&format!("a click on {selector}"), async || {
            let element = self.element(selector).await?;
            self.call(Method::POST, &format!("/element/{element}/click"), json!({})).await
        })
        .await;
    }

    /// Types into the element that has the focus.
    pub(crate) async fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()})))
            .collect();
        let body = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.call(Method::POST, "/actions", body).await.unwrap();
    }

    async fn element(&self, selector: &str) -> Result<String, String> {
        let body = json!({"using": "css selector", "value": selector});
        let found = self.call(Method::POST, "/element", body).await?;
        Ok(found[ELEMENT].as_str().unwrap().to_owned())
    }

    /// The text of the first element of a selector; empty if there is none.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({})?.innerText ?? ''", json!(selector));
        self.run(&script).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a selector has an element.
    pub(crate) async fn exists(&self, selector: &str) {
        eventually(selector, async || self.element(selector).await).await;
    }

    /// Waits until the text of an element contains a part; returns the text.
    pub(crate) async fn shows(&self, selector: &str, part: &str) -> String {
        self.shows_within(LIMIT, selector, part).await
    }

    /// Waits for so long until the text of an element contains a part; returns the text.
    pub(crate) async fn shows_within(&self, limit: Duration, selector: &str, part: &str) -> String {
        poll_for(limit, &format!("`{part}` in {selector}"), async || {
            let text = self.text(selector).await;
            if text.contains(part) { Ok(text) } else { Err(text) }
        })
        .await
    }

    /// Clicks the button of this name within an element.
    pub(crate) async fn press_button(&self, selector: &str, name: &str) {
        let script = format!(
            "const name = (one) => one.getAttribute('aria-label') ?? one.innerText;
             const found = [...document.querySelectorAll({} + ' button')].find((one) => name(one) === {});
             found?.click(); return found !== undefined",
            json!(selector),
            json!(name)
        );
        eventually(&format!("button {name} in {selector}"), async || self.run(&script).await == true).await;
    }

    /// Messages of the browser's console that are warnings or errors.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.call(Method::POST, "/se/log", json!({"type": "browser"})).await.unwrap();
        let is_bad = |entry: &&Value| ["WARNING", "SEVERE"].iter().any(|level| entry["level"] == *level);
        log.as_array().unwrap().iter().filter(is_bad).map(|entry| entry["message"].to_string()).collect()
    }

    /// A picture of the window, as PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        let picture = self.call(Method::GET, "/screenshot", Value::Null).await.unwrap();
        BASE64.decode(picture.as_str().unwrap().as_bytes()).unwrap()
    }

    /// Ends the browser.
    pub(crate) async fn close(self) {
        self.call(Method::DELETE, "", Value::Null).await.unwrap();
    }
}
