//! What may be carried along: whatever a stranger sends travels through every service, row and message after it.

use std::str::FromStr;
use std::sync::OnceLock;

use opentelemetry::trace::TraceState;

use super::traceparent;

/// What the W3C asks everybody to carry.
const LONGEST_TRACESTATE: usize = 512;
const MOST_TRACESTATE_MEMBERS: usize = 32;
const LONGEST_BAGGAGE: usize = 1024;
const MOST_BAGGAGE_MEMBERS: usize = 16;

static PASSING: OnceLock<BaggageKeys> = OnceLock::new();

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
    /// From now on these keys pass in this process; it can be said once.
    pub(crate) fn let_pass(&self) {
        // A second Observability in one process has failed before it gets here.
        let _ = PASSING.set(self.clone());
    }

    /// The members with these keys, without their properties, as many as there is room for.
    fn filter(&self, baggage: &str) -> Option<String> {
        let mut kept = String::new();
        let mut members = 0;
        for member in baggage.split(',') {
            let member = member.split(';').next().unwrap_or_default();
            let Some((key, value)) = member.split_once('=') else { continue };
            let (key, value) = (key.trim(), value.trim());
            let is_allowed = self.0.iter().any(|allowed| allowed == key) && value.bytes().all(is_octet);
            let has_room = kept.len() + key.len() + value.len() + 2 <= LONGEST_BAGGAGE;
            if is_allowed && has_room && members < MOST_BAGGAGE_MEMBERS {
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

/// The value of a propagation field as far as it may be carried along: whole, in part, or not at all.
pub(super) fn bounded(field: &str, value: String) -> Option<String> {
    match field {
        "traceparent" => traceparent::read(&value, TraceState::NONE).map(|_| value),
        "tracestate" => {
            let fits =
                value.len() <= LONGEST_TRACESTATE && value.split(',').count() <= MOST_TRACESTATE_MEMBERS;
            fits.then_some(value)
        }
        "baggage" => PASSING.get()?.filter(&value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passing(keys: &str, baggage: &str) -> Option<String> {
        keys.parse::<BaggageKeys>().unwrap().filter(baggage)
    }

    #[test]
    fn nothing_passes_that_is_not_listed() {
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
        assert!(bounded("tracestate", members(32)).is_some());
        assert_eq!(bounded("tracestate", members(33)), None);
        assert_eq!(bounded("tracestate", format!("a={}", "1".repeat(511))), None);
    }

    proptest! {
        #[test]
        fn what_passes_is_listed_and_short(baggage in "([a-c ]{0,3}=?[^\\p{Cc}]{0,20}[,;=]){0,400}") {
            let Some(kept) = passing("a,b", &baggage) else { return Ok(()) };
            prop_assert!(kept.len() <= LONGEST_BAGGAGE && kept.split(',').count() <= MOST_BAGGAGE_MEMBERS);
            for member in kept.split(',') {
                let (key, value) = member.split_once('=').unwrap();
                prop_assert!(["a", "b"].contains(&key) && value.bytes().all(is_octet), "{}", member);
            }
        }
    }
}
