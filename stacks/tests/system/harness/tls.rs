//! A certificate authority for a test, and TLS before servers that have none.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer},
};

/// The first byte that a TLS client sends.
const HANDSHAKE: u8 = 22;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), dir }
    }

    /// The certificate file, for `SSL_CERT_FILE`.
    pub(crate) fn file(&self) -> String {
        self.dir.path().join("ca.pem").to_str().unwrap().to_owned()
    }

    /// The files of a certificate for a name or address, and of its key.
    pub(crate) fn certificate(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer);
        let [certificate, key] =
            [("server.pem", certificate.unwrap().pem()), ("server.key", key.serialize_pem())].map(
                |(name, text)| {
                    let file = self.dir.path().join(name);
                    fs::write(&file, text).unwrap();
                    file.to_str().unwrap().to_owned()
                },
            );
        (certificate, key)
    }

    /// A server configuration with a certificate of this authority for a name or address.
    pub(crate) fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        acceptor(&params.signed_by(&key, &self.issuer).unwrap(), &key)
    }
}

/// A certificate that has signed itself, for 127.0.0.1.
pub(crate) struct SelfSigned {
    pub(crate) acceptor: TlsAcceptor,
    dir: TempDir,
}

impl SelfSigned {
    /// As `openssl req -x509` makes it: an authority's.
    pub(crate) fn authority() -> Self {
        Self::new(IsCa::Ca(BasicConstraints::Unconstrained))
    }

    /// With `basicConstraints=critical,CA:FALSE`.
    pub(crate) fn server() -> Self {
        Self::new(IsCa::ExplicitNoCa)
    }

    fn new(is_ca: IsCa) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let certificate = params.self_signed(&key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("server.pem"), certificate.pem()).unwrap();
        Self { acceptor: acceptor(&certificate, &key), dir }
    }

    /// The certificate file, for `SSL_CERT_FILE`.
    pub(crate) fn file(&self) -> String {
        self.dir.path().join("server.pem").to_str().unwrap().to_owned()
    }
}

fn acceptor(certificate: &Certificate, key: &KeyPair) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        );
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

/// The exchange before TLS.
#[derive(Clone, Copy, PartialEq)]
enum Preamble {
    None,
    StartTls,
    SslRequest,
}

#[derive(Default)]
struct Seen {
    accepted: AtomicUsize,
    refused: AtomicUsize,
    plain: AtomicUsize,
}

/// A port with TLS before a port without it.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

impl Front {
    /// Serves until the runtime of the test ends.
    pub(crate) async fn before(target: SocketAddr, acceptor: TlsAcceptor) -> Self {
        Self::serve(target, acceptor, Preamble::None).await
    }

    /// Before a mail server, whose clients begin with STARTTLS.
    pub(crate) async fn with_starttls(target: SocketAddr, acceptor: TlsAcceptor) -> Self {
        Self::serve(target, acceptor, Preamble::StartTls).await
    }

    /// Before a PostgreSQL server, whose clients begin with an SSLRequest.
    pub(crate) async fn with_ssl_request(target: SocketAddr, acceptor: TlsAcceptor) -> Self {
        Self::serve(target, acceptor, Preamble::SslRequest).await
    }

    async fn serve(target: SocketAddr, acceptor: TlsAcceptor, preamble: Preamble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = front.seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                tokio::spawn(async move {
                    let stream = match preamble {
                        Preamble::None => stream,
                        Preamble::StartTls => starttls(stream).await?,
                        Preamble::SslRequest => ssl_request(stream).await?,
                    };
                    let mut first = [0];
                    if stream.peek(&mut first).await? > 0 && first[0] != HANDSHAKE {
                        seen.plain.fetch_add(1, Ordering::Relaxed);
                    }
                    match acceptor.accept(stream).await {
                        Ok(mut inside) => {
                            seen.accepted.fetch_add(1, Ordering::Relaxed);
                            let mut target = BufReader::new(TcpStream::connect(target).await?);
                            if preamble == Preamble::StartTls {
                                // The client has its greeting already.
                                target.read_line(&mut String::new()).await?;
                            }
                            copy_bidirectional(&mut inside, &mut target).await?;
                        }
                        Err(_) => drop(seen.refused.fetch_add(1, Ordering::Relaxed)),
                    }
                    std::io::Result::Ok(())
                });
            }
        });
        front
    }

    /// The number of connections with a completed handshake.
    pub(crate) fn accepted(&self) -> usize {
        self.seen.accepted.load(Ordering::Relaxed)
    }

    /// The number of connections with a failed handshake, or without one.
    pub(crate) fn refused(&self) -> usize {
        self.seen.refused.load(Ordering::Relaxed)
    }

    /// The number of connections that did not begin with TLS.
    pub(crate) fn plain(&self) -> usize {
        self.seen.plain.load(Ordering::Relaxed)
    }
}

/// The part of SMTP before TLS.
async fn starttls(stream: TcpStream) -> std::io::Result<TcpStream> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 test ESMTP\r\n").await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let reply: &[u8] = match line.trim_end().to_ascii_uppercase().as_str() {
            "STARTTLS" => {
                stream.write_all(b"220 ready\r\n").await?;
                return Ok(stream.into_inner());
            }
            hello if hello.starts_with("EHLO") => b"250-test\r\n250 STARTTLS\r\n",
            _ => b"530 not before TLS\r\n",
        };
        stream.write_all(reply).await?;
    }
}

/// The part of PostgreSQL's protocol before TLS: a request of eight bytes, answered with `S`.
async fn ssl_request(mut stream: TcpStream) -> std::io::Result<TcpStream> {
    let mut request = [0; 8];
    stream.read_exact(&mut request).await?;
    if request != [0, 0, 0, 8, 4, 210, 22, 47] {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    stream.write_all(b"S").await?;
    Ok(stream)
}
