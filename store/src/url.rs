//! The URL of a database.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::{Config, Host, SslMode};

use crate::StoreError;

/// The kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A file: one process, one writer.
    Sqlite,
    /// A server: any number of replicas of a service.
    Postgres,
}

/// A parsed URL.
pub(crate) enum Location {
    Sqlite(PathBuf),
    Postgres(Box<Server>),
}

/// A PostgreSQL server, and the trust in its certificate.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) verify: Verify,
    /// A file of certificates to trust instead of those of the system.
    pub(crate) root_file: Option<PathBuf>,
}

/// The checks of a server's certificate, as libpq's `sslmode` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// `prefer` and `require`: encrypted, and not checked.
    Nothing,
    /// `verify-ca`: the issuer.
    Issuer,
    /// `verify-full`: the issuer and the name of the host.
    Full,
}

/// Checks that `url` names a database that [`Database::open`](crate::Database::open) can try to open.
///
/// # Errors
/// Says what was expected; never repeats the URL, for it may hold a password.
pub fn check(url: &SecretString) -> Result<Dialect, StoreError> {
    Ok(match parse(url)? {
        Location::Sqlite(_) => Dialect::Sqlite,
        Location::Postgres(_) => Dialect::Postgres,
    })
}

pub(crate) fn parse(url: &SecretString) -> Result<Location, StoreError> {
    let url = url.expose_secret();
    let (scheme, rest) = url.split_once("://").ok_or(StoreError::Url("it has no scheme"))?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let parameters = || query.split('&').filter(|parameter| !parameter.is_empty());
    match scheme {
        "sqlite" => file(rest, parameters()).map(Location::Sqlite),
        "postgres" | "postgresql" if !rest.is_empty() => {
            server(rest, parameters()).map(Box::new).map(Location::Postgres)
        }
        "postgres" | "postgresql" => Err(StoreError::Url("it names no host")),
        _ => Err(StoreError::Url("the scheme is another one")),
    }
}

fn file<'a>(path: &str, parameters: impl Iterator<Item = &'a str>) -> Result<PathBuf, StoreError> {
    let path = decoded(path)?;
    if path.is_empty() || path.starts_with(':') {
        return Err(StoreError::Url("it names no file, and a database in memory would forget"));
    }
    for parameter in parameters {
        if parameter != "mode=rwc" {
            return Err(StoreError::Url("a file takes no parameters"));
        }
    }
    Ok(path.into())
}

fn server<'a>(rest: &str, parameters: impl Iterator<Item = &'a str>) -> Result<Server, StoreError> {
    let (mut verify, mut root_file, mut kept) = (Verify::Nothing, None, Vec::new());
    for parameter in parameters {
        // The driver knows neither of them.
        match parameter.split_once('=') {
            Some(("sslmode", "verify-ca")) => verify = Verify::Issuer,
            Some(("sslmode", "verify-full")) => verify = Verify::Full,
            Some(("sslrootcert", path)) => root_file = Some(decoded(path)?.into()),
            _ => kept.push(parameter),
        }
    }
    let url = format!("postgresql://{rest}?{}", kept.join("&"));
    let mut config: Config =
        url.parse().map_err(|_| StoreError::Url("the server's part of it cannot be read"))?;
    if verify != Verify::Nothing {
        config.ssl_mode(SslMode::Require);
    }
    if config.get_hosts().is_empty() {
        config.host("localhost");
    }
    if config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(host) if host.is_empty())) {
        return Err(StoreError::Url("it names no host"));
    }
    Ok(Server { config, verify, root_file })
}

fn decoded(text: &str) -> Result<String, StoreError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| StoreError::Url("it is not UTF-8 once decoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_tells_the_kind_of_database() {
        for (url, dialect) in [
            ("sqlite://var/payment.db", Dialect::Sqlite),
            ("sqlite:///var/lib/payment.db", Dialect::Sqlite),
            ("sqlite://var/payment.db?mode=rwc", Dialect::Sqlite),
            ("postgres://payment@localhost/payment", Dialect::Postgres),
            ("postgresql://payment:secret@localhost:5433/payment?sslmode=verify-full", Dialect::Postgres),
            ("postgresql://a@one:1,two:2/payment?target_session_attrs=read-write", Dialect::Postgres),
        ] {
            assert_eq!(check(&url.into()).unwrap(), dialect, "{url}");
        }
    }

    #[test]
    fn a_url_without_a_database_is_refused_unrepeated() {
        for url in [
            "",
            "payment.db",
            "sqlite://",
            "sqlite://:memory:",
            "sqlite://%3Amemory:",
            "sqlite://?mode=rwc",
            "sqlite://x?mode=memory",
            "sqlite://x?mode=rwc&cache=shared",
            "mysql://hunter2@h/d",
            "postgres://hunter2@h/d?sslmode=maybe",
        ] {
            let error = check(&url.into()).unwrap_err().to_string();
            assert!(error.contains("sqlite://var/data.db") && !error.contains("hunter2"), "{url}: {error}");
        }
    }

    #[test]
    fn an_encoded_path_is_decoded_once() {
        for (url, path) in [
            ("sqlite:///tmp/my%20data/p.db", "/tmp/my data/p.db"),
            ("sqlite://100%2525.db", "100%25.db"),
            ("sqlite://var/p.db", "var/p.db"),
        ] {
            let Location::Sqlite(parsed) = parse(&url.into()).unwrap() else { panic!("{url}") };
            assert_eq!(parsed, PathBuf::from(path), "{url}");
        }
    }

    #[test]
    fn a_verified_server_is_never_spoken_to_in_clear() {
        let url = "postgresql://h/d?sslmode=verify-ca&sslrootcert=%2Fetc%2Fca.pem&connect_timeout=3";
        let Location::Postgres(server) = parse(&url.into()).unwrap() else { panic!("it is a server") };
        assert_eq!((server.verify, server.config.get_ssl_mode()), (Verify::Issuer, SslMode::Require));
        assert_eq!(server.root_file, Some("/etc/ca.pem".into()));
    }
}
