//! What to do about a server's certificate that was refused.

use std::error::Error as StdError;
use std::io;
use std::sync::OnceLock;

use rustls::CertificateError;

/// Names a file of trusted certificates, for every library of ours.
const FILE: &str = "SSL_CERT_FILE";

static ORIGIN: OnceLock<&'static str> = OnceLock::new();

/// Says where `SSL_CERT_FILE` was read from, if not from the environment of the process. The first call counts.
pub fn set_origin(origin: &'static str) {
    // An error means that it is set.
    let _ = ORIGIN.set(origin);
}

/// What is wrong with a server's certificate, which certificates are trusted, and what to do, if `error` comes of one that
/// was refused.
pub fn advice(error: &(dyn StdError + 'static)) -> Option<String> {
    let rustls::Error::InvalidCertificate(refused) = tls_error(error)? else { return None };
    let what = match refused {
        // The second: an authority of the same name is trusted.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no trusted certificate has signed it; add its authority's"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for other hosts; name one of them in the URL, or add this one as its subjectAltName"
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => "check its dates and this machine's clock",
        CertificateError::Other(other) if other.0.to_string() == "CaUsedAsEndEntity" => {
            "it is an authority's and serves no host; make one with CA:FALSE and the host as subjectAltName"
        }
        _ => "make one with CA:FALSE and the host as subjectAltName",
    };
    let trusted = match std::env::var_os(FILE) {
        Some(file) => {
            let origin = ORIGIN.get().unwrap_or(&"the environment");
            format!("those in {} ({FILE} of {origin})", file.display())
        }
        None => format!("the system's ({FILE} is not set)"),
    };
    Some(format!("{what}; trusted certificates are {trusted}; docs/operations.md, TLS, has an example"))
}

/// The TLS library's error among `error` and its causes. An I/O error hides the one within.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    #[test]
    fn a_refused_certificate_is_explained_through_any_layer() {
        let refused = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let layers = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, refused()));
        for error in [&refused() as &(dyn StdError + 'static), &layers] {
            let advice = advice(error).unwrap();
            assert!(
                advice.contains("no trusted certificate has signed it") && advice.contains(FILE),
                "{advice}"
            );
        }
        assert_eq!(advice(&io::Error::other("connection refused")), None);
        assert_eq!(advice(&rustls::Error::HandshakeNotComplete), None);
    }

    #[test]
    fn each_fault_of_a_certificate_has_its_remedy() {
        let authority = io::Error::other("CaUsedAsEndEntity");
        for (fault, remedy) in [
            (CertificateError::Other(OtherError(Arc::new(authority))), "CA:FALSE"),
            (CertificateError::NotValidForName, "subjectAltName"),
            (CertificateError::Expired, "clock"),
            (CertificateError::BadEncoding, "make one"),
        ] {
            let advice = advice(&rustls::Error::InvalidCertificate(fault)).unwrap();
            assert!(advice.contains(remedy), "{advice}");
        }
    }
}
