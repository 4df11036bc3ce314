//! The health check of a container whose image has no shell: the binary itself asks the running service.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// For the connection, and for each part of the response.
const DEADLINE: Duration = Duration::from_secs(2);
/// Bytes of a response; `/readyz` needs less.
const MAX_RESPONSE: u64 = 16 * 1024;

/// Requests `/readyz` of the service that listens on `address`: success when it is ready, else a failure with the reason on
/// stderr.
pub fn healthcheck(address: SocketAddr) -> ExitCode {
    match ask(address) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => ExitCode::SUCCESS,
        Ok(answer) => {
            eprintln!("not ready: {}", answer.lines().last().unwrap_or("an empty response"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("not ready: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&reachable(address), DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    // As a whole: `write!` would send each part in a packet of its own.
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_RESPONSE).read_to_string(&mut answer)?;
    Ok(answer)
}

/// A service that listens on all addresses is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// The result for a service with this response.
    fn found(answer: &'static str) -> ExitCode {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let service = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut request = [0; 512];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let everywhere = SocketAddr::from(([0, 0, 0, 0], address.port()));
        let code = healthcheck(everywhere);
        service.join().unwrap();
        code
    }

    #[test]
    fn only_a_response_of_200_is_ready() {
        assert_eq!(found("HTTP/1.1 200 OK\r\n\r\n{}"), ExitCode::SUCCESS);
        for unready in ["HTTP/1.1 503 Service Unavailable\r\n\r\n{}", "HTTP/1.1 2", ""] {
            assert_eq!(found(unready), ExitCode::FAILURE, "{unready}");
        }
    }

    #[test]
    fn a_refused_connection_is_not_ready() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(healthcheck(free), ExitCode::FAILURE);
    }
}
