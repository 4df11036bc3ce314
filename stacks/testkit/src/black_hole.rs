//! An address at which connections wait for ever, as that of a machine behind a firewall which drops packets.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// The address, until this is dropped.
pub struct BlackHole {
    _sockets: [Socket; 2],
}

impl BlackHole {
    /// Takes an address. A listener without room keeps one connection that nobody accepts; the kernel drops the first packets
    /// of all others.
    ///
    /// # Errors
    /// If the address can't be taken.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let address = address.into();
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.bind(&address)?;
        listener.listen(0)?;
        let kept = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        kept.connect(&address)?;
        Ok(Self { _sockets: [listener, kept] })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_connection_waits() {
        let address = SocketAddr::from(([127, 0, 0, 66], 47_125));
        let _hole = BlackHole::at(address).unwrap();
        let failure = TcpStream::connect_timeout(&address, Duration::from_millis(500)).unwrap_err();
        assert_eq!(failure.kind(), io::ErrorKind::TimedOut);
    }
}
