//! The addresses of the mail server's host.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::lookup_host;
use tokio::sync::Mutex;

/// For how long found addresses are used again.
const FRESH: Duration = Duration::from_secs(5);

/// Resolves one host. A lookup blocks a thread: there is one at a time, and connections that are made meanwhile share it.
pub(super) struct Resolver {
    host: String,
    port: u16,
    found: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
}

impl Resolver {
    pub(super) fn new(host: &str, port: u16) -> Self {
        // The brackets of an IPv6 address belong to its URL.
        Self { host: host.trim_matches(['[', ']']).to_owned(), port, found: Mutex::default() }
    }

    /// The addresses, in the order of the system's resolver.
    pub(super) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let mut found = self.found.lock().await;
        if let Some((at, addresses)) = &*found
            && at.elapsed() < FRESH
        {
            return Ok(addresses.clone());
        }
        let addresses: Vec<SocketAddr> = lookup_host((&*self.host, self.port)).await?.collect();
        *found = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn found_addresses_are_used_again_while_they_are_fresh() {
        let resolver = Resolver::new("[::1]", 25);
        assert_eq!(resolver.addresses().await.unwrap(), ["[::1]:25".parse().unwrap()]);
        let other: Vec<SocketAddr> = vec!["192.0.2.1:25".parse().unwrap()];
        let found_at = |at| Some((at, other.clone()));
        *resolver.found.lock().await = found_at(Instant::now());
        assert_eq!(resolver.addresses().await.unwrap(), other);
        *resolver.found.lock().await = found_at(Instant::now().checked_sub(FRESH).unwrap());
        assert_ne!(resolver.addresses().await.unwrap(), other);
    }
}
