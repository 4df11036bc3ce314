//! Ports: which are free, and who holds those that are not.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use procfs::{net::TcpState, process::FDTarget};
use uuid::Uuid;

/// Below the range from which the kernel takes ports for outgoing connections, so that a port
/// chosen now is not gone by the time its owner has started.
const FREE: std::ops::Range<u16> = 20_000..32_000;

/// What this process has given away: nobody may listen there yet.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A loopback address with a port that nobody listens on; each call gives another one.
pub fn free() -> Result<SocketAddr> {
    let span = u128::from(FREE.end - FREE.start);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1000 {
        let port = FREE.start + (Uuid::new_v4().as_u128() % span) as u16;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() && given.insert(port) {
            return Ok(address);
        }
    }
    bail!("no free port between {} and {}", FREE.start, FREE.end)
}

/// The address that a setting such as `GATEWAY_LISTEN` names; port 0 means any free one.
pub fn parse(variable: &str, value: &str) -> Result<SocketAddr> {
    let hint = || format!("{variable}={value} is no address; write it like {variable}=127.0.0.1:3000");
    let found: Vec<SocketAddr> = value.to_socket_addrs().with_context(hint)?.collect();
    // `localhost` means both families; IPv4 is what the defaults and the links speak.
    let address = found.iter().find(|a| a.is_ipv4()).or(found.first()).copied().with_context(hint)?;
    if address.port() == 0 { Ok(SocketAddr::new(address.ip(), free()?.port())) } else { Ok(address) }
}

/// Why nobody of ours can listen there, or nothing when the port is free.
pub fn obstacle(address: SocketAddr) -> Option<String> {
    let error = TcpListener::bind(address).err()?;
    if error.kind() != ErrorKind::AddrInUse {
        return Some(format!("cannot be listened on: {error}"));
    }
    let owner = owner(address.port()).unwrap_or_else(|| "a process that only root can see".into());
    Some(format!("is used by {owner}"))
}

/// `name (pid 123)` of the process that listens on this port.
fn owner(port: u16) -> Option<String> {
    let tables = [procfs::net::tcp(), procfs::net::tcp6()];
    let inodes: BTreeSet<u64> = tables
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.state == TcpState::Listen && entry.local_address.port() == port)
        .map(|entry| entry.inode)
        .collect();
    let process = procfs::process::all_processes().ok()?.flatten().find(|process| {
        process.fd().is_ok_and(|fds| {
            fds.flatten().any(|fd| matches!(fd.target, FDTarget::Socket(inode) if inodes.contains(&inode)))
        })
    })?;
    let name = process.stat().map_or_else(|_| "a process".into(), |stat| stat.comm);
    Some(format!("{name} (pid {})", process.pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_named_with_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let obstacle = obstacle(listener.local_addr().unwrap()).unwrap();
        assert!(obstacle.contains(&format!("(pid {})", std::process::id())), "{obstacle}");
    }

    #[test]
    fn a_free_port_has_no_obstacle() {
        assert_eq!(obstacle(free().unwrap()), None);
    }

    #[test]
    fn addresses_are_parsed_and_a_bad_one_names_its_variable() {
        assert_eq!(parse("X", "127.0.0.1:3000").unwrap().to_string(), "127.0.0.1:3000");
        assert_eq!(parse("X", "localhost:3000").unwrap().to_string(), "127.0.0.1:3000");
        assert_eq!(parse("X", "[::1]:3000").unwrap().to_string(), "[::1]:3000");
        assert_ne!(parse("X", "127.0.0.1:0").unwrap().port(), 0);
        for bad in ["3000", "127.0.0.1", "127.0.0.1:70000", ""] {
            let error = parse("GATEWAY_LISTEN", bad).unwrap_err().to_string();
            assert!(error.contains("GATEWAY_LISTEN"), "{error}");
        }
    }
}
