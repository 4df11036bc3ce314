//! A loopback port that a fake server can leave and listen on again.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// More connections than a test opens at once: the kernel drops those beyond it, and a client repeats them after seconds.
const BACKLOG: i32 = 1024;

/// A reserved port: connections are refused unless a listener is open.
pub(crate) struct Port {
    address: SocketAddr,
    /// Bound and never listening, so that no other program gets the port in between.
    _reservation: Socket,
}

impl Port {
    pub(crate) fn reserve() -> io::Result<Self> {
        let reservation = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = reservation.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { address, _reservation: reservation })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn listen(&self) -> io::Result<Socket> {
        let socket = bind(self.address)?;
        socket.listen(BACKLOG)?;
        Ok(socket)
    }
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
