//! TLS for clients: one library and one set of trusted certificates, for this crate and for services.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use crate::Error;

/// A client configuration that trusts the certificates of the system, or those in the file that `SSL_CERT_FILE` names.
///
/// # Errors
/// When there is no certificate to trust.
pub fn client_config() -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(Error::NoTrustedCertificates(found.errors.into_iter().next()));
    }
    with_roots(roots)
}

/// A client configuration for plain HTTP: a system without certificates is no error.
pub(crate) fn without_roots() -> Result<Arc<ClientConfig>, Error> {
    with_roots(RootCertStore::empty())
}

fn with_roots(roots: RootCertStore) -> Result<Arc<ClientConfig>, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
