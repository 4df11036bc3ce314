//! The rate of one client: kept by all gateways together in Redis or Valkey, or by each one alone.

mod decision;
mod local;
mod shared;

use std::net::IpAddr;
use std::num::NonZeroU32;

use redis::RedisResult;
use slog::Logger;
use telemetry::metrics::Counters;

pub(crate) use self::decision::Decision;
use self::local::LocalRate;
use self::shared::SharedRate;
use crate::breaker::{Circuit, Messages};
use crate::config::Config;
use crate::metrics::Metrics;

const MESSAGES: Messages = Messages {
    open: "shared rate limit does not answer, this gateway limits by itself until it does",
    closed: "shared rate limit answers again",
};

/// The rate of each client of this gateway.
pub struct Rate {
    own: LocalRate,
    store: Option<Store>,
    admitted: Counters,
    refused: Counters,
}

/// The store that several gateways share, and the limit of this one while it does not answer.
struct Store {
    shared: SharedRate,
    fallback: LocalRate,
}

impl Rate {
    /// The limit of each client by the settings; `None` without one.
    ///
    /// # Errors
    /// When the URL of the store, which [`Config::check`] has read, is no URL of Redis.
    pub fn new(config: &Config, metrics: &Metrics, log: &Logger) -> RedisResult<Option<Self>> {
        let Some(limit) = NonZeroU32::new(config.gateway_rate_limit) else { return Ok(None) };
        let store = config.rate_limit_url().map(|url| {
            let circuit = Circuit::new(metrics.rate_limit_fallback.clone(), log, MESSAGES);
            let shared = SharedRate::new(url, limit, config.gateway_rate_limit_deadline, circuit)?;
            let part = u64::from(limit.get()) * u64::from(config.gateway_rate_limit_share) / 100;
            let part = u32::try_from(part).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
            RedisResult::Ok(Store { shared, fallback: LocalRate::new(part) })
        });
        let (admitted, refused) = (metrics.rate_limit_admitted.clone(), metrics.rate_limit_refused.clone());
        Ok(Some(Self { own: LocalRate::new(limit), store: store.transpose()?, admitted, refused }))
    }

    /// The circuit of the store, if there is one.
    pub fn circuit(&self) -> Option<Circuit> {
        self.store.as_ref().map(|store| store.shared.circuit())
    }

    /// Counts a request of a client in this gateway. One above the whole limit here need not be asked of the store.
    pub(crate) fn check(&self, client: IpAddr) -> Decision {
        let decision = self.own.check(client);
        if self.store.is_none() || decision.wait.is_some() {
            self.count("gateway", decision);
        }
        decision
    }

    /// Counts a request of a client in all gateways; `None` without a store.
    pub(crate) async fn check_shared(&self, client: IpAddr) -> Option<Decision> {
        let Store { shared, fallback } = self.store.as_ref()?;
        let (by, decision) = match shared.check(client).await {
            Some(decision) => ("store", decision),
            None => ("fallback", fallback.check(client)),
        };
        self.count(by, decision);
        Some(decision)
    }

    fn count(&self, by: &str, Decision { wait, .. }: Decision) {
        let requests = if wait.is_some() { &self.refused } else { &self.admitted };
        requests.with_label_values(&[by]).inc();
    }
}
