//! The samples and exemplars of an OpenMetrics page.

use std::collections::BTreeMap;

/// A sample.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: Labels<'a>,
    pub(crate) value: f64,
    /// The labels of its exemplar; empty without one.
    pub(crate) exemplar: Labels<'a>,
    /// What the exemplar has measured, and when: seconds since the Unix epoch.
    pub(crate) measured: Option<(f64, f64)>,
}

/// Values by name, still escaped: the values that are compared have no escaped characters.
pub(crate) type Labels<'a> = BTreeMap<&'a str, &'a str>;

/// The samples of a page; incomplete lines are skipped.
pub(crate) fn samples(page: &str) -> impl Iterator<Item = Sample<'_>> {
    page.lines().filter(|line| !line.starts_with('#')).filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, rest) = line.split_at(line.find(['{', ' '])?);
    let (labels, rest) = labels(rest)?;
    let (measured, exemplar) = rest.split_once(" # ").unwrap_or((rest, ""));
    let value = measured.split_whitespace().next()?.parse().ok()?;
    let (exemplar, measured) = self::labels(exemplar)?;
    let mut numbers = measured.split_whitespace().filter_map(|number| number.parse().ok());
    let measured = numbers.next().zip(numbers.next());
    Some(Sample { name, labels, value, exemplar, measured })
}

/// The labels at the beginning of a text, and the rest.
fn labels(text: &str) -> Option<(Labels<'_>, &str)> {
    let Some(mut rest) = text.strip_prefix('{') else { return Some((Labels::new(), text)) };
    let mut labels = Labels::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once("=\"")?;
        let end = closing_quote(after)?;
        labels.insert(name, &after[..end]);
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_labels_values_and_exemplars() {
        let page = "# TYPE a counter\n\
            a_total 3.0\n\
            b_bucket{route=\"/orders/{id}\",text=\"a \\\" # {x=\\\"y\\\"} b\",le=\"0.5\"} 7 # {trace_id=\"aa\",span_id=\"bb\"} 0.4 1.5\n\
            c{} 1 1700000000\n\
            # EOF\n";
        let found: Vec<Sample<'_>> = samples(page).collect();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].name, found[0].value), ("a_total", 3.0));
        assert!(found[0].labels.is_empty() && found[0].exemplar.is_empty());
        assert_eq!(
            (found[1].labels["route"], found[1].labels["le"], found[1].value),
            ("/orders/{id}", "0.5", 7.0)
        );
        assert_eq!(found[1].exemplar, Labels::from([("trace_id", "aa"), ("span_id", "bb")]));
        assert_eq!((found[0].measured, found[1].measured), (None, Some((0.4, 1.5))));
        assert_eq!((found[2].name, found[2].value), ("c", 1.0));
    }

    #[test]
    fn an_incomplete_line_is_no_sample() {
        for line in ["a", "a{", "a{b=\"c\" 1", "a{b=\"c\"}", "a b", ""] {
            assert_eq!(samples(line).count(), 0, "{line}");
        }
    }
}
