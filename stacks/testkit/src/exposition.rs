//! A strict parser of the Prometheus text format 0.0.4: a scraper refuses the whole page for one bad line.

use std::collections::{BTreeMap, HashMap};

/// The samples of one page: each series, with its labels as written, and its value.
#[derive(Clone, Debug)]
pub struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// The samples of `page`.
    ///
    /// # Errors
    /// The first line that a scraper would refuse, and why.
    pub fn parse(page: &str) -> Result<Self, String> {
        let mut kinds = HashMap::new();
        let mut samples = BTreeMap::new();
        if !page.ends_with('\n') {
            return Err("the last line has no end".to_owned());
        }
        for line in page.lines() {
            let refused = |why: &str| format!("{why}: {line}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                rest.split_once(' ').filter(|(_, text)| !text.is_empty()).ok_or(refused("no help"))?;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (family, kind) = rest.split_once(' ').ok_or(refused("no type"))?;
                if !["counter", "gauge", "histogram"].contains(&kind) || !is_name(family) {
                    return Err(refused("unknown type or bad name"));
                }
                if kinds.insert(family, kind).is_some() {
                    return Err(refused("a second type"));
                }
            } else {
                let (series, value) = line.rsplit_once(' ').ok_or(refused("no value"))?;
                let value = value.parse().map_err(|_| refused("not a number"))?;
                let name = name_of(series).ok_or(refused("bad name or labels"))?;
                let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                let kind =
                    kinds.get(name).or_else(|| kinds.get(family?).filter(|kind| **kind == "histogram"));
                if kind.is_none() {
                    return Err(refused("no type before it"));
                }
                if samples.insert(series.to_owned(), value).is_some() {
                    return Err(refused("a series twice"));
                }
            }
        }
        Ok(Self(samples))
    }

    /// The number of series.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if the page has no series.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.0.values().copied()
    }

    /// All series with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(series, value)| (series.as_str(), *value))
    }

    /// The value of `name{label="value"}`, if the page has that series.
    pub fn find(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// The value of `name{label="value"}`.
    ///
    /// # Panics
    /// If the page has no such series.
    pub fn get(&self, series: &str) -> f64 {
        self.find(series).unwrap_or_else(|| panic!("no series {series} among {:?}", self.0.keys()))
    }

    /// The value of a series that counts; 0 if the page does not have it, as `increase()` sees it.
    ///
    /// # Panics
    /// If the value is no count.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the assertion excludes both"
    )]
    pub fn count(&self, series: &str) -> u64 {
        let value = self.find(series).unwrap_or_default();
        assert!(value >= 0.0 && value.fract() == 0.0, "{series} is {value}, which is no count");
        value as u64
    }

    /// The sum over all series of this name that have these labels.
    ///
    /// # Panics
    /// If the page has no such series.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let series = self.0.iter().filter(|(series, _)| {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            found == name && labels.iter().all(|label| rest.contains(label))
        });
        let values: Vec<f64> = series.map(|(_, value)| *value).collect();
        assert!(!values.is_empty(), "no series {name} with {labels:?}");
        values.iter().sum()
    }

    /// The growth of each of these series since `before`.
    ///
    /// # Panics
    /// If either page lacks one of the series.
    pub fn growth(&self, before: &Self, series: &[&str]) -> BTreeMap<String, f64> {
        series.iter().map(|name| ((*name).to_owned(), self.get(name) - before.get(name))).collect()
    }
}

/// The name in `name` or `name{label="value"}`.
fn name_of(series: &str) -> Option<&str> {
    let (name, labels) = match series.split_once('{') {
        None => (series, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}')?),
    };
    (is_name(name) && are_labels(labels)).then_some(name)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// `a="x",b="y"`. Label values of this workspace contain neither quotes nor commas, so that splitting is enough.
fn are_labels(labels: &str) -> bool {
    labels.is_empty()
        || labels.split(',').all(|label| {
            label.split_once('=').is_some_and(|(name, value)| {
                let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                is_name(name) && inner.is_some_and(|inner| !inner.contains('"'))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_page_has_each_series_with_its_value() {
        let page = "# HELP a of a\n# TYPE a counter\na{b=\"c\",d=\"/x/{id}\"} 1\na 2.5\n";
        let samples = Samples::parse(page).unwrap();
        assert_eq!(samples.len(), 2);
        assert_eq!((samples.get("a"), samples.find("b")), (2.5, None));
        assert_eq!((samples.sum("a", &[]), samples.sum("a", &[("b", "c")])), (3.5, 1.0));
        assert_eq!((samples.count("a{b=\"c\",d=\"/x/{id}\"}"), samples.count("b")), (1, 0));
    }

    #[test]
    fn a_bad_page_is_refused() {
        for bad in [
            "a 1\n",
            "# TYPE a counter\na 1",
            "# TYPE a counter\na one\n",
            "# TYPE a counter\na{b} 1\n",
            "# TYPE a counter\na{b=\"c\" 1\n",
            "# TYPE a counter\na 1\na 1\n",
            "# TYPE a counter\na_bucket{le=\"1\"} 1\n",
            "# TYPE a counter\n# TYPE a gauge\na 1\n",
            "# TYPE a colour\na 1\n",
            "# HELP a\n",
        ] {
            assert!(Samples::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
