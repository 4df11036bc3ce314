//! The series that a PromQL expression selects, found by its tokens; promtool parses expressions.

/// The keywords before a list of labels in parentheses.
const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Keywords that are neither functions nor metrics.
const WORDS: [&str; 10] = ["and", "or", "unless", "offset", "bool", "atan2", "inf", "nan", "start", "end"];

/// A metric and its matchers: `up` and `{job="order-gateway"}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// The metric.
    pub metric: String,
    /// The matchers with their braces; empty without any.
    pub matchers: String,
    /// The function of which it is the first argument, `rate` for example; empty without one.
    pub function: String,
}

impl Selector {
    /// The selector as a query.
    pub fn query(&self) -> String {
        format!("{}{}", self.metric, self.matchers)
    }
}

/// The selectors of an expression, in their order.
pub fn selectors(expression: &str) -> Vec<Selector> {
    let mut found: Vec<Selector> = Vec::new();
    let mut rest = expression.trim_start();
    let mut function = String::new();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' | '`' => string(rest),
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '{' => {
                let end = braces(rest);
                // A selector without a name names no metric.
                if let Some(last) = found.last_mut().filter(|last| last.matchers.is_empty()) {
                    last.matchers = rest[..end].to_owned();
                }
                end
            }
            first if first.is_ascii_digit() => word(rest, |c| c.is_ascii_alphanumeric() || c == '.'),
            first if first.is_ascii_alphabetic() || "_:".contains(first) => {
                let end = word(rest, |c| c.is_ascii_alphanumeric() || "_:".contains(c));
                let (name, after) = (&rest[..end], rest[end..].trim_start());
                if GROUPING.contains(&name) && after.starts_with('(') {
                    rest.len() - after.len() + after.find(')').map_or(after.len(), |close| close + 1)
                } else {
                    let is_aggregation =
                        GROUPING[..2].contains(&&after[..word(after, |c| c.is_ascii_alphabetic())]);
                    if after.starts_with('(') || is_aggregation {
                        function = name.to_owned();
                    } else if !WORDS.contains(&name.to_ascii_lowercase().as_str()) {
                        let function = std::mem::take(&mut function);
                        found.push(Selector { metric: name.to_owned(), matchers: String::new(), function });
                    }
                    end
                }
            }
            other => other.len_utf8(),
        };
        rest = rest[length..].trim_start();
    }
    found
}

fn word(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// The length of the string at the beginning, quotes included.
pub(super) fn string(text: &str) -> usize {
    let mut escaped = false;
    let quote = text.chars().next();
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != Some('`') => escaped = true,
            _ if Some(c) == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the matchers at the beginning, braces included.
fn braces(text: &str) -> usize {
    let mut at = 1;
    while let Some(c) = text[at..].chars().next() {
        match c {
            '}' => return at + 1,
            '"' | '\'' | '`' => at += string(&text[at..]),
            other => at += other.len_utf8(),
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries(expression: &str) -> Vec<String> {
        selectors(expression).iter().map(Selector::query).collect()
    }

    #[test]
    fn functions_labels_durations_and_strings_are_no_metrics() {
        let quantile = r#"histogram_quantile(0.95, sum by (job, le) (rate(wait_seconds_bucket{job="a[b]}"}[5m] offset 1h))) > 1e3"#;
        assert_eq!(queries(quantile), [r#"wait_seconds_bucket{job="a[b]}"}"#]);
        let joined = "a + on (instance) group_left (x) b / ignoring (y) (c > bool 0) unless up # d";
        assert_eq!(queries(joined), ["a", "b", "c", "up"]);
        assert_eq!(queries("sum(x) by (job)\nor vector(0)"), ["x"]);
        assert_eq!(queries(r#"label_replace(up, "a", "b", "c", "\"d")"#), ["up"]);
        assert_eq!(
            queries(r#"job:errors:ratio_rate5m{job=~"a|b"} and {job="c"}"#),
            [r#"job:errors:ratio_rate5m{job=~"a|b"}"#]
        );
    }

    #[test]
    fn a_selector_has_its_innermost_function() {
        let found = selectors("sum by (le) (rate(a[1m])) or absent(b) or c");
        let functions: Vec<_> = found.iter().map(|selector| selector.function.as_str()).collect();
        assert_eq!(functions, ["rate", "absent", ""]);
    }

    #[test]
    fn incomplete_expressions_are_read_to_their_end() {
        for broken in ["a{b=\"c", "a[5m", "\"a", "sum by (a", "rate(", "a{", "ä{ö=\"ü\\"] {
            selectors(broken);
        }
    }
}
