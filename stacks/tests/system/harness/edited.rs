//! Evidence that is edited on its way to a command of `stacks`: a defect without a defective service.

use std::{
    fs::{self, File},
    io::Write as _,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header::HOST},
};
use reqwest::Client;
use stacks::logs::SERVICES;
use tokio::{net::TcpListener, time::sleep};

use super::System;

struct Proxy {
    client: Client,
    target: SocketAddr,
    edit: fn(&str) -> String,
}

impl System {
    /// Puts a proxy before a server of the stack, for commands that start from now on. It edits the bodies of answers.
    pub(crate) async fn edit_answers(&self, target: SocketAddr, edit: fn(&str) -> String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Proxy { client: Client::builder().no_proxy().build().unwrap(), target, edit };
        let pages = Router::new().fallback(forward).with_state(Arc::new(proxy));
        tokio::spawn(async move { axum::serve(listener, pages).await });
        let state = self.dir().join("var/local.json");
        let addresses = fs::read_to_string(&state).unwrap();
        let edited = addresses.replace(&format!("\"{target}\""), &format!("\"{address}\""));
        assert_ne!(edited, addresses, "{target} is not an address of the stack");
        fs::write(state, edited).unwrap();
    }

    /// Copies the log lines that services write from now on to another directory, and edits those of one service.
    /// Returns the directory, for `LOG_DIR`.
    pub(crate) fn edit_log_lines(&self, edited: &'static str, edit: fn(&str) -> String) -> String {
        let copies = self.dir().join("edited-logs");
        fs::create_dir(&copies).unwrap();
        for service in SERVICES {
            let (log, mut copy) =
                (self.stack.log_dir().join(format!("{service}.log")), new_file(&copies, service));
            let mut copied = fs::read_to_string(&log).unwrap().len();
            tokio::spawn(async move {
                loop {
                    let text = fs::read_to_string(&log).unwrap();
                    let end = text.rfind('\n').map_or(0, |end| end + 1);
                    for line in text[copied..end].lines() {
                        let line = if service == edited { edit(line) } else { line.to_owned() };
                        writeln!(copy, "{line}").unwrap();
                    }
                    copied = end;
                    sleep(Duration::from_millis(20)).await;
                }
            });
        }
        copies.to_str().unwrap().to_owned()
    }
}

fn new_file(directory: &std::path::Path, service: &str) -> File {
    File::create(directory.join(format!("{service}.log"))).unwrap()
}

async fn forward(
    State(proxy): State<Arc<Proxy>>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    headers.remove(HOST);
    let url = format!("http://{}{uri}", proxy.target);
    let answer = proxy.client.request(method, url).headers(headers).body(body).send().await.unwrap();
    let status = answer.status();
    (status, (proxy.edit)(&answer.text().await.unwrap()))
}
