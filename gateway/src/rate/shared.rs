//! The rate of each client over all gateways, in Redis or Valkey: the generic cell rate algorithm (GCRA) as a script, so
//! that a check is one round trip, atomic, and by the clock of the server.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisResult, Script};
use tokio::time::timeout;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::decision::Decision;
use crate::breaker::Circuit;

/// The key holds the theoretical arrival time of the next request, in microseconds. Redis before 5 would refuse to write
/// after TIME.
const CHECK: &str = r"
local time = redis.call('TIME')
local now, step = time[1] * 1000000 + time[2], 1000000 / ARGV[1]
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local wait = arrival + step - now - 1000000
if wait > 0.5 then return {0, math.ceil(wait)} end
arrival = arrival + step
redis.call('SET', KEYS[1], string.format('%.3f', arrival), 'PX', math.ceil((arrival - now) / 1000) + 1)
return {math.floor((1000000 - (arrival - now)) / step + 0.001), 0}
";

/// A limit for each client, shared with the other gateways of the same store.
pub(super) struct SharedRate {
    connection: ConnectionManager,
    script: Script,
    limit: NonZeroU32,
    deadline: Duration,
    circuit: Circuit,
    server: (String, Option<u16>),
}

impl SharedRate {
    /// The limit in the store of this URL. It connects with the first check.
    ///
    /// # Errors
    /// When the URL is none of Redis.
    pub(super) fn new(
        url: &str,
        limit: NonZeroU32,
        deadline: Duration,
        circuit: Circuit,
    ) -> RedisResult<Self> {
        let client = Client::open(url)?;
        let server = server(&client);
        // Its own retries would hold up the requests that wait for a connection: the circuit is the pause between attempts.
        let config =
            ConnectionManagerConfig::new().set_number_of_retries(0).set_connection_timeout(Some(deadline));
        let connection = ConnectionManager::new_lazy_with_config(client, config)?;
        Ok(Self { connection, script: Script::new(CHECK), limit, deadline, circuit, server })
    }

    /// Open while the store does not answer.
    pub(super) fn circuit(&self) -> Circuit {
        self.circuit.clone()
    }

    /// Counts a request of a client; `None` if the store does not answer in time.
    pub(super) async fn check(&self, client: IpAddr) -> Option<Decision> {
        if !self.circuit.admit() {
            return None;
        }
        let span = self.span();
        let answer = timeout(self.deadline, self.ask(client)).instrument(span.clone()).await;
        let (answer, error) = match answer {
            Ok(Ok(answer)) => (Some(answer), None),
            Ok(Err(error)) => (None, Some(error.code().unwrap_or("connection").to_owned())),
            Err(_) => (None, Some("timeout".to_owned())),
        };
        self.circuit.record(answer.is_some());
        if let Some(error) = error {
            span.record("error.type", error);
            span.record("otel.status_code", "ERROR");
        }
        let (remaining, wait) = answer?;
        let wait = (wait > 0).then(|| Duration::from_micros(wait));
        Some(Decision::new(self.limit, remaining, wait))
    }

    /// The requests that remain, and the microseconds to wait.
    async fn ask(&self, client: IpAddr) -> RedisResult<(u32, u64)> {
        let mut check = self.script.key(format!("omnitrace:rate:{client}"));
        check.arg(self.limit.get()).invoke_async(&mut self.connection.clone()).await
    }

    fn span(&self) -> Span {
        let (address, port) = &self.server;
        tracing::info_span!(
            "redis.evalsha",
            otel.name = "EVALSHA rate limit",
            otel.kind = "client",
            db.system.name = "redis",
            db.operation.name = "EVALSHA",
            server.address = address,
            server.port = port.map(i64::from),
            error.type = Empty,
            otel.status_code = Empty,
        )
    }
}

fn server(client: &Client) -> (String, Option<u16>) {
    use redis::ConnectionAddr::{Tcp, TcpTls, Unix};
    match client.get_connection_info().addr() {
        Tcp(host, port) | TcpTls { host, port, .. } => (host.clone(), Some(*port)),
        Unix(path) => (path.display().to_string(), None),
        _ => (String::new(), None),
    }
}
