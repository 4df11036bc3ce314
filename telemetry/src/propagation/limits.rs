//! Bounds for propagation fields that come from outside.

use std::str::FromStr;

/// The size that the W3C asks every process to carry.
const MAX_TRACESTATE: usize = 512;
const MAX_TRACESTATE_MEMBERS: usize = 32;
const MAX_BAGGAGE: usize = 1024;
const MAX_BAGGAGE_MEMBERS: usize = 16;
/// Bytes of the four fields of a `traceparent` and of what separates them.
const TRACEPARENT: usize = 55;
/// Longer ones are malformed in every version of the format so far.
const MAX_TRACEPARENT: usize = 128;

/// The keys of baggage that may pass; `none` passes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaggageKeys(Vec<String>);

impl FromStr for BaggageKeys {
    type Err = String;

    fn from_str(value: &str) -> Result<Self, String> {
        if value == "none" {
            return Ok(Self::default());
        }
        let keys: Vec<_> = value.split(',').map(|key| key.trim().to_owned()).collect();
        let is_token = |key: &String| {
            !key.is_empty()
                && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&b))
        };
        match keys.iter().all(is_token) {
            true => Ok(Self(keys)),
            false => Err("expected keys of baggage such as tenant,session.id, or none".to_owned()),
        }
    }
}

impl BaggageKeys {
    /// The members with these keys, without their properties, as many as the bounds allow.
    pub(super) fn filter(&self, baggage: &str) -> Option<String> {
        let mut kept = String::new();
        let mut members = 0;
        for member in baggage.split(',') {
            let member = member.split(';').next().unwrap_or_default();
            let Some((key, value)) = member.split_once('=') else { continue };
            let (key, value) = (key.trim(), value.trim());
            let is_allowed = self.0.iter().any(|allowed| allowed == key) && value.bytes().all(is_octet);
            let has_room = kept.len() + key.len() + value.len() + 2 <= MAX_BAGGAGE;
            if is_allowed && has_room && members < MAX_BAGGAGE_MEMBERS {
                if members > 0 {
                    kept.push(',');
                }
                kept.extend([key, "=", value]);
                members += 1;
            }
        }
        (members > 0).then_some(kept)
    }
}

/// `baggage-octet` of the W3C.
fn is_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

/// True if the fields of `value` have the lengths, digits and separators of a `traceparent`: the SDK's propagator accepts
/// shorter ids. Versions to come may add fields at the end.
pub(super) fn is_traceparent(value: &str) -> bool {
    let Some((fields, rest)) = value.as_bytes().split_at_checked(TRACEPARENT) else { return false };
    let has_shape = fields.iter().enumerate().all(|(at, byte)| match at {
        2 | 35 | 52 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    });
    let is_whole =
        rest.is_empty() || (&fields[..2] != b"00" && rest[0] == b'-' && value.len() <= MAX_TRACEPARENT);
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == b'0');
    has_shape && is_whole && &fields[..2] != b"ff" && !is_zero(&fields[3..35]) && !is_zero(&fields[36..52])
}

/// True if `value` is within the bounds for a `tracestate`.
pub(super) fn is_tracestate(value: &str) -> bool {
    value.len() <= MAX_TRACESTATE && value.split(',').count() <= MAX_TRACESTATE_MEMBERS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passing(keys: &str, baggage: &str) -> Option<String> {
        keys.parse::<BaggageKeys>().unwrap().filter(baggage)
    }

    #[test]
    fn only_listed_keys_pass() {
        assert_eq!(passing("none", "tenant=1,user=ada"), None);
        assert_eq!(passing("tenant", "user=ada,tenant=1").as_deref(), Some("tenant=1"));
        assert_eq!(
            passing("tenant,plan", " tenant = 1;ttl=5 , plan=free").as_deref(),
            Some("tenant=1,plan=free")
        );
        assert_eq!(passing("tenant", "Tenant=1,tenant,=1,tenant=a b,tenant=\"a\",tenant=ä"), None);
    }

    #[test]
    fn a_list_of_keys_is_checked() {
        for bad in ["", ",", "a b", "a,,b", "ä", "a=b"] {
            assert!(bad.parse::<BaggageKeys>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tracestate_that_is_too_long_is_dropped_whole() {
        let members = |number| vec!["a=1"; number].join(",");
        assert!(is_tracestate(&members(32)));
        assert!(!is_tracestate(&members(33)));
        assert!(!is_tracestate(&format!("a={}", "1".repeat(511))));
    }

    #[test]
    fn the_fields_of_a_traceparent_have_their_full_length() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for good in [format!("00-{trace}-{span}-01"), format!("cc-{trace}-{span}-03-more")] {
            assert!(is_traceparent(&good), "{good}");
        }
        for bad in [
            format!("00-{}-{span}-01", &trace[1..]),
            format!("00-0{trace}-{span}-01"),
            format!("00-{trace}-{}-01", &span[1..]),
            format!("00-{trace}-{span}-1"),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("00_{trace}-{span}-01"),
            format!("cc-{trace}-{span}-01more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("cc-{trace}-{span}-01-{}", "more".repeat(30)),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            "é".repeat(28),
        ] {
            assert!(!is_traceparent(&bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn baggage_that_passes_is_listed_and_short(baggage in "([a-c ]{0,3}=?[^\\p{Cc}]{0,20}[,;=]){0,400}") {
            let Some(kept) = passing("a,b", &baggage) else { return Ok(()) };
            prop_assert!(kept.len() <= MAX_BAGGAGE && kept.split(',').count() <= MAX_BAGGAGE_MEMBERS);
            for member in kept.split(',') {
                let (key, value) = member.split_once('=').unwrap();
                prop_assert!(["a", "b"].contains(&key) && value.bytes().all(is_octet), "{}", member);
            }
        }
    }
}
