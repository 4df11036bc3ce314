//! Gateways behind proxies, real ones too: the client that a proxy names owns its limit, its trace attribute and its
//! keys, connections are kept for long enough, and several gateways keep one limit in a real Redis.

mod clients;
mod connections;
mod drain;
mod gateways;
mod limits;
mod named;
mod proxy;
mod races;
mod redis;
mod store;
mod trace;
