//! Parses the values of `OTEL_*` variables, and collects a warning for each one that is not supported.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::variables::Variables;

/// A queue of more items could not be allocated.
const MAX_COUNT: usize = 1 << 24;

/// Reads one variable after the other.
pub(super) struct Reader<'a> {
    variables: &'a Variables,
    pub(super) warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(variables: &'a Variables) -> Self {
        Self { variables, warnings: Vec::new() }
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.variables.get(name)
    }

    pub(super) fn warn(&mut self, name: &str, consequence: impl Display) {
        self.warnings.push(format!("{name} has a value that is not supported; {consequence}"));
    }

    /// The meaning of a value of a closed set, without regard to case.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)], default: T) -> T {
        let Some(value) = self.text(name) else { return default };
        let chosen = choices.iter().find(|(choice, _)| choice.eq_ignore_ascii_case(value));
        chosen.map_or_else(
            || {
                let supported: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
                self.warn(name, format_args!("the default holds; supported: {}", supported.join(", ")));
                default
            },
            |(_, meaning)| *meaning,
        )
    }

    pub(super) fn number<T: FromStr>(&mut self, name: &str, is_valid: impl Fn(&T) -> bool) -> Option<T> {
        let number = self.text(name)?.parse().ok().filter(is_valid);
        if number.is_none() {
            self.warn(name, "the default holds");
        }
        number
    }

    pub(super) fn milliseconds(&mut self, name: &str, default: Duration) -> Duration {
        self.number(name, |number| *number > 0).map_or(default, Duration::from_millis)
    }

    pub(super) fn count(&mut self, name: &str, default: usize) -> usize {
        self.number(name, |number| (1..=MAX_COUNT).contains(number)).unwrap_or(default)
    }

    /// The URLs of a list with commas between them.
    pub(super) fn endpoints(&mut self, name: &str) -> Vec<Uri> {
        let urls = self.text(name).into_iter().flat_map(|value| value.split(','));
        let urls = urls.map(str::trim).filter(|url| !url.is_empty());
        let endpoints: Vec<_> = urls.map(endpoint).collect();
        if endpoints.contains(&None) {
            self.warn(name, "what is not a URL such as http://localhost:4318 is left out");
        }
        endpoints.into_iter().flatten().collect()
    }

    /// The headers of a list; `None` if the variable is unset. A warning does not quote a header: it may be a secret.
    pub(super) fn headers(&mut self, name: &str) -> Option<HeaderMap> {
        let pairs = self.text(name)?.split(',').filter(|pair| !pair.trim().is_empty());
        let headers: Vec<_> = pairs.map(header).collect();
        if headers.contains(&None) {
            self.warn(name, "what is not name=value with a percent-encoded value is left out");
        }
        Some(headers.into_iter().flatten().collect())
    }

    /// Names and values of a list. The specification wants all of it ignored when a part can't be decoded.
    pub(super) fn pairs(&mut self, name: &str) -> BTreeMap<String, String> {
        let Some(value) = self.text(name) else { return BTreeMap::new() };
        let pairs = value.split(',').filter(|pair| !pair.trim().is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let decode = |text: &str| Some(percent_decode_str(text.trim()).decode_utf8().ok()?.into_owned());
            Some((decode(name)?, decode(value)?))
        });
        pairs.collect::<Option<_>>().unwrap_or_else(|| {
            self.warn(name, "it is not name=value,name=value with percent-encoded values, and is ignored");
            BTreeMap::new()
        })
    }
}

fn endpoint(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    (matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()).then_some(uri)
}

fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let value = percent_decode_str(value.trim()).collect::<Vec<_>>();
    let mut value = HeaderValue::from_bytes(&value).ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}
