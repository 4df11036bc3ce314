//! The pace of alerting: as shipped, or with every window and interval shortened, so that a drill takes a minute.

/// The pace of rules and routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pace {
    /// As in the files
    Shipped,
    /// All durations a twentieth; thresholds stay
    Fast,
}

/// By how much durations are divided.
const FACTOR: u64 = 20;
/// Keys whose value is a duration.
const KEYS: [&str; 8] = [
    "for",
    "keep_firing_for",
    "interval",
    "scrape_interval",
    "evaluation_interval",
    "group_wait",
    "group_interval",
    "repeat_interval",
];
/// The shortest duration, in milliseconds.
const MIN_MILLIS: u64 = 1000;

impl Pace {
    /// YAML for Prometheus or Alertmanager with its durations at this pace: the values of [`KEYS`], and the ranges in
    /// PromQL. Names of recorded series stay.
    pub(crate) fn render(self, yaml: &str) -> String {
        match self {
            Self::Shipped => yaml.to_owned(),
            Self::Fast => yaml.lines().map(|line| quick(line) + "\n").collect(),
        }
    }
}

fn quick(line: &str) -> String {
    let trimmed = line.trim_start().trim_start_matches("- ");
    if let Some((key, value)) = trimmed.split_once(": ")
        && let Some(shorter) = KEYS.contains(&key).then(|| shorter(value)).flatten()
    {
        return line.replacen(value, &shorter, 1);
    }
    // A timeout must not be longer than its interval.
    if trimmed.starts_with("scrape_timeout: ") {
        return line.replacen(trimmed, "scrape_timeout: 1s", 1);
    }
    ranges(line)
}

/// PromQL with other ranges: `[5m]`, and `[30m:1m]`.
fn ranges(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((range, behind)) = after.split_once(']') else { break };
        let parts: Option<Vec<String>> = range.split(':').map(shorter).collect();
        let range = parts.map_or_else(|| range.to_owned(), |parts| parts.join(":"));
        text += &format!("{before}[{range}]");
        rest = behind;
    }
    text + rest
}

/// A twentieth of a duration such as `90s` or `5m`; none if the text is no duration.
fn shorter(duration: &str) -> Option<String> {
    let digits = duration.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = duration.split_at(digits);
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let milliseconds = number.parse::<u64>().ok()?.checked_mul(unit)? / FACTOR;
    Some(format!("{}ms", milliseconds.max(MIN_MILLIS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_divided_and_other_values_stay() {
        for (shipped, fast) in [
            ("    for: 2m", "    for: 6000ms"),
            ("    interval: 15s", "    interval: 1000ms"),
            ("  group_interval: 1m", "  group_interval: 3000ms"),
            ("  scrape_timeout: 4s", "  scrape_timeout: 1s"),
            ("  expr: sum(rate(a_total[5m])) > 0.05", "  expr: sum(rate(a_total[15000ms])) > 0.05"),
            ("  deriv(x[1h:5m]) + rate(y[1d])", "  deriv(x[180000ms:15000ms]) + rate(y[4320000ms])"),
            ("  - record: job:http_errors:rate5m", "  - record: job:http_errors:rate5m"),
            ("  group_by: [alertname, service]", "  group_by: [alertname, service]"),
            ("  - matchers: [severity = ticket]", "  - matchers: [severity = ticket]"),
            ("  summary: slow for 5m", "  summary: slow for 5m"),
        ] {
            assert_eq!(Pace::Fast.render(shipped), format!("{fast}\n"));
            assert_eq!(Pace::Shipped.render(shipped), shipped);
        }
    }
}
