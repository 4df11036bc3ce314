//! Addresses on this machine: free ports, the process that uses a port, URLs.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use procfs::{net::TcpState, process::FDTarget};
use uuid::Uuid;

/// Below the range from which the kernel takes ports for outgoing connections: a port chosen now is still free when the
/// process that it was chosen for starts.
const FREE: std::ops::Range<u16> = 20_000..32_000;

/// Ports that this process has chosen already: nothing may listen there yet.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A loopback address with a free port; each call returns another one.
///
/// # Errors
/// When no port is free.
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
    bail!("cannot choose a port: none is free between {} and {}", FREE.start, FREE.end)
}

/// The address in a setting such as `GATEWAY_LISTEN`; port 0 means any free one.
///
/// # Errors
/// Names the setting.
pub fn parse(variable: &str, value: &str) -> Result<SocketAddr> {
    let hint =
        || format!("cannot use {variable}={value}: not an address; write it like {variable}=127.0.0.1:3000");
    let found: Vec<SocketAddr> = value.to_socket_addrs().with_context(hint)?.collect();
    // `localhost` means both families; IPv4 is what the defaults and the links speak.
    let address = found.iter().find(|a| a.is_ipv4()).or(found.first()).copied().with_context(hint)?;
    if address.port() == 0 { Ok(SocketAddr::new(address.ip(), free()?.port())) } else { Ok(address) }
}

/// Why no process of ours can listen there; none if the port is free.
pub(crate) fn obstacle(address: SocketAddr) -> Option<String> {
    let error = TcpListener::bind(address).err()?;
    if error.kind() != ErrorKind::AddrInUse {
        return Some(format!("cannot be used: {error}"));
    }
    let owner = owner(address.port()).unwrap_or_else(|| "a process that only root can see".into());
    Some(format!("is used by {owner}"))
}

/// `NAME (pid 123)` of the process that listens on this port.
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

/// The URL under which a program on this machine reaches an address.
pub fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// The same for people: `localhost` in place of `127.0.0.1`.
pub fn link(address: SocketAddr) -> String {
    url(address).replace("//127.0.0.1:", "//localhost:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_port_is_named_with_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let obstacle = obstacle(listener.local_addr().unwrap()).unwrap();
        assert!(obstacle.contains(&format!("(pid {})", std::process::id())), "{obstacle}");
    }

    #[test]
    fn a_free_port_has_no_obstacle() {
        assert_eq!(obstacle(free().unwrap()), None);
    }

    #[test]
    fn a_bad_address_names_its_setting() {
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
