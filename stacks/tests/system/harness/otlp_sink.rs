//! A receiver of spans that keeps every byte it is sent: for what must not be in any of them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes};
use tokio::net::TcpListener;

pub(crate) struct OtlpSink {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
}

impl OtlpSink {
    /// Serves until the runtime of the test ends.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = received.clone();
        let keep = async move |body: Bytes| kept.lock().unwrap().extend_from_slice(&body);
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(keep)).await });
        Self { address, received }
    }

    /// Protobuf, in which texts are as they are.
    pub(crate) fn received(&self) -> String {
        String::from_utf8_lossy(&self.received.lock().unwrap()).into_owned()
    }
}
