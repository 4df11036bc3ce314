//! As much of HTTP/1.1 as an OTLP exporter needs.

use std::io::{self, BufRead, Read as _, Write as _};
use std::net::TcpStream;

use flate2::read::GzDecoder;

pub(super) struct Request {
    /// Method and path: `POST /v1/traces`.
    pub(super) target: String,
    /// The names of its headers, in lower case, and their values.
    pub(super) headers: Vec<(String, String)>,
    /// Uncompressed.
    pub(super) body: Vec<u8>,
}

pub(super) fn read(from: &mut impl BufRead) -> io::Result<Request> {
    let mut line = String::new();
    let target = next_line(from, &mut line)?.trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = Vec::new();
    while !next_line(from, &mut line)?.is_empty() {
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header = |wanted| headers.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value);
    let mut body = vec![0; header("content-length").parse().map_err(|_| io::ErrorKind::InvalidData)?];
    from.read_exact(&mut body)?;
    if header("content-encoding") == "gzip" {
        let zipped = std::mem::take(&mut body);
        GzDecoder::new(zipped.as_slice()).read_to_end(&mut body)?;
    }
    Ok(Request { target, headers, body })
}

fn next_line<'a>(from: &mut impl BufRead, line: &'a mut String) -> io::Result<&'a str> {
    line.clear();
    if from.read_line(line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end())
}

/// Sends status and headers, which announce a body of `length` bytes.
pub(super) fn announce(mut connection: &TcpStream, head: &str, length: usize) -> io::Result<()> {
    write!(connection, "HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n")
}

/// Sends a response.
pub(super) fn respond(mut connection: &TcpStream, head: &str, body: &[u8]) -> io::Result<()> {
    announce(connection, head, body.len())?;
    connection.write_all(body)
}
