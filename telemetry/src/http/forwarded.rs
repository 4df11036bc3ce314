//! The client behind proxies: from the header that they write, read from its end, where the nearest proxy has written.
//!
//! What stands to the left of the first address that is no proxy's was written by the client, and means nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use actix_web::HttpRequest;
use ipnet::IpNet;

/// The proxies in front of a service, and the header in which they name their clients. The default is none: the client
/// is the peer.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    trusted: Arc<[IpNet]>,
    header: ForwardedHeader,
}

/// The header in which proxies name their clients. The other one is ignored: a proxy that writes one of them passes on
/// what the client has written into the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum ForwardedHeader {
    /// X-Forwarded-For, with X-Forwarded-Proto and X-Forwarded-Host.
    #[default]
    XForwardedFor,
    /// Forwarded (RFC 7239).
    Forwarded,
}

/// The client as a proxy has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop<'a> {
    /// `None` for a name, or a text that is no address.
    pub(super) client: Option<IpAddr>,
    pub(super) scheme: Option<&'a str>,
    pub(super) host: Option<&'a str>,
}

/// What the header of a request tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// `None` if the peer is no proxy, or names no client.
    pub(super) hop: Option<Hop<'a>>,
    /// True if a proxy has written something that is no address; the hop is that of the nearest proxy behind it.
    pub(super) is_malformed: bool,
}

impl Proxies {
    /// The proxies in these networks.
    pub fn new(trusted: impl IntoIterator<Item = IpNet>, header: ForwardedHeader) -> Self {
        Self { trusted: trusted.into_iter().collect(), header }
    }

    /// Finds the hop of the client of a request.
    pub(super) fn find<'a>(&self, request: &'a HttpRequest) -> Found<'a> {
        if !request.peer_addr().is_some_and(|peer| self.trust(peer.ip())) {
            return Found::default();
        }
        let last = |name| elements(request, name).next();
        let (scheme, host) = (last("x-forwarded-proto"), last("x-forwarded-host"));
        match self.header {
            ForwardedHeader::XForwardedFor => {
                let hop = |element| Hop { client: node(element), scheme, host };
                self.first_client(elements(request, "x-forwarded-for").map(hop))
            }
            ForwardedHeader::Forwarded => self.first_client(elements(request, "forwarded").map(hop)),
        }
    }

    /// The first hop from the end whose client is no proxy, or else the outermost proxy.
    fn first_client<'a>(&self, hops: impl Iterator<Item = Hop<'a>>) -> Found<'a> {
        let mut found = Found::default();
        for hop in hops {
            let Some(client) = hop.client else { return Found { is_malformed: true, ..found } };
            found.hop = Some(hop);
            if !self.trust(client) {
                break;
            }
        }
        found
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address.to_canonical()))
    }
}

/// The elements of a list in all lines of a header, the last one first.
fn elements<'a>(request: &'a HttpRequest, name: &str) -> impl Iterator<Item = &'a str> {
    let lines: Vec<&str> =
        request.headers().get_all(name).map(|line| line.to_str().unwrap_or_default()).collect();
    // A comma in quotes divides, too: no address has one, and quotes of the client must not swallow what follows.
    lines.into_iter().rev().flat_map(|line| line.rsplit(',')).map(str::trim)
}

/// An element of `Forwarded`.
fn hop(element: &str) -> Hop<'_> {
    let parameter = |name: &str| {
        let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
        let value = value.trim();
        Some(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value))
    };
    Hop { client: parameter("for").and_then(node), scheme: parameter("proto"), host: parameter("host") }
}

/// An address, with or without a port; one of IPv6 is in brackets, or bare as `X-Forwarded-For` often has it.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn client(header: ForwardedHeader, peer: &str, lines: &[(&str, &str)]) -> Result<String, String> {
        let mut request = TestRequest::default().peer_addr(peer.parse().unwrap());
        for line in lines {
            request = request.append_header(*line);
        }
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
        let request = request.to_http_request();
        let Found { hop, is_malformed } = Proxies::new(trusted, header).find(&request);
        let text = hop.map_or("peer".to_owned(), |Hop { client, scheme, host }| {
            format!("{} {} {}", client.unwrap(), scheme.unwrap_or("-"), host.unwrap_or("-"))
        });
        if is_malformed { Err(text) } else { Ok(text) }
    }

    fn x_forwarded(peer: &str, lines: &[&str]) -> Result<String, String> {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        client(ForwardedHeader::XForwardedFor, peer, &lines)
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_proxy() {
        for (lines, expected) in [
            (vec!["192.0.2.1"], "192.0.2.1 - -"),
            (vec!["6.6.6.6, 192.0.2.1, 10.0.0.2"], "192.0.2.1 - -"),
            (vec!["6.6.6.6", "192.0.2.1:4711", "10.0.0.2"], "192.0.2.1 - -"),
            (vec!["garbage, 192.0.2.1"], "192.0.2.1 - -"),
            (vec!["\"6.6.6.6, 192.0.2.1"], "192.0.2.1 - -"),
            (vec!["[2001:db9::1]:80"], "2001:db9::1 - -"),
            (vec!["2001:db9::1"], "2001:db9::1 - -"),
            (vec!["::ffff:192.0.2.1"], "192.0.2.1 - -"),
            (vec!["10.0.0.3, 10.0.0.2"], "10.0.0.3 - -"),
            (vec![], "peer"),
        ] {
            assert_eq!(x_forwarded("10.0.0.1:1", &lines).as_deref(), Ok(expected), "{lines:?}");
        }
        let spelled_as_v6 = x_forwarded("[::ffff:10.0.0.1]:1", &["192.0.2.1"]);
        assert_eq!(spelled_as_v6.as_deref(), Ok("192.0.2.1 - -"));
    }

    #[test]
    fn a_peer_that_is_no_proxy_names_no_client() {
        assert_eq!(x_forwarded("192.0.2.9:1", &["6.6.6.6"]).as_deref(), Ok("peer"));
        assert_eq!(x_forwarded("192.0.2.9:1", &["garbage"]).as_deref(), Ok("peer"));
    }

    #[test]
    fn an_unreadable_address_leaves_the_nearest_proxy() {
        for (line, expected) in
            [("garbage", "peer"), ("", "peer"), ("1.2.3.4, unknown, 10.0.0.2", "10.0.0.2 - -")]
        {
            assert_eq!(x_forwarded("10.0.0.1:1", &[line]).as_ref().map_err(|text| &**text), Err(expected));
        }
    }

    #[test]
    fn the_other_header_is_ignored() {
        let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "7.7.7.7")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, "10.0.0.1:1", &both).as_deref(), Ok("7.7.7.7 - -"));
        assert_eq!(client(ForwardedHeader::Forwarded, "10.0.0.1:1", &both).as_deref(), Ok("6.6.6.6 - -"));
    }

    #[test]
    fn scheme_and_host_are_those_of_the_same_hop() {
        let line = "for=6.6.6.6;proto=gopher, For=\"[2001:db9::7]:80\"; Proto=https;host=\"shop.example:8443\", \
                    for=10.0.0.2;proto=http";
        let found = client(ForwardedHeader::Forwarded, "10.0.0.1:1", &[("forwarded", line)]);
        assert_eq!(found.as_deref(), Ok("2001:db9::7 https shop.example:8443"));
        let lines =
            [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "a, b")];
        let found = client(ForwardedHeader::XForwardedFor, "10.0.0.1:1", &lines);
        assert_eq!(found.as_deref(), Ok("192.0.2.1 https b"));
    }
}
