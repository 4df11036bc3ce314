//! A strict reader of the Prometheus text format 0.0.4: a scraper refuses the whole page for one bad line.

use std::collections::{HashMap, HashSet};

/// One sample line.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Name and labels as they were written: `name` or `name{label="value",...}`.
    pub(crate) series: String,
    pub(crate) value: f64,
}

impl Sample {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked by the line before")]
    pub(crate) fn count(&self) -> u64 {
        assert!(self.value >= 0.0 && self.value.fract() == 0.0, "not a count: {self:?}");
        self.value as u64
    }
}

/// All samples of a page, or what is wrong with it.
pub(crate) fn parse(page: &str) -> Result<Vec<Sample>, String> {
    let mut kinds = HashMap::new();
    let mut seen = HashSet::new();
    let mut samples = Vec::new();
    if !page.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    for line in page.lines() {
        let bad = |why: &str| format!("{why}: {line}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            rest.split_once(' ').filter(|(_, text)| !text.is_empty()).ok_or(bad("no help"))?;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (family, kind) = rest.split_once(' ').ok_or(bad("no type"))?;
            if !["counter", "gauge", "histogram"].contains(&kind) || !is_name(family) {
                return Err(bad("unknown type or bad name"));
            }
            if kinds.insert(family, kind).is_some() {
                return Err(bad("a second type"));
            }
        } else {
            let (series, value) = line.rsplit_once(' ').ok_or(bad("no value"))?;
            let value = value.parse().map_err(|_| bad("not a number"))?;
            let (name, labels) = match series.split_once('{') {
                None => (series, ""),
                Some((name, rest)) => (name, rest.strip_suffix('}').ok_or(bad("open braces"))?),
            };
            if !is_name(name) || !are_labels(labels) {
                return Err(bad("bad name or labels"));
            }
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let kind = kinds.get(name).or_else(|| kinds.get(family?).filter(|kind| **kind == "histogram"));
            if kind.is_none() {
                return Err(bad("no type before it"));
            }
            if !seen.insert(series) {
                return Err(bad("a series twice"));
            }
            samples.push(Sample { series: series.to_owned(), value });
        }
    }
    Ok(samples)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// `a="x",b="y"`; values of ours hold neither quotes nor commas, so that a simple reader will do.
fn are_labels(labels: &str) -> bool {
    labels.is_empty()
        || labels.split(',').all(|label| {
            label.split_once('=').is_some_and(|(name, value)| {
                let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                is_name(name) && inner.is_some_and(|inner| !inner.contains('"'))
            })
        })
}
