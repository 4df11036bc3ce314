//! The fields that a query of LogQL, TraceQL or KQL compares, and the queries in a document.

use super::promql::string;

/// The names before a comparison: `level` in `level = "error"`.
pub(super) fn compared(query: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' | '`' => string(rest),
            first if first.is_alphanumeric() || "_@".contains(first) => {
                let end =
                    rest.find(|c: char| !c.is_alphanumeric() && !"_@.".contains(c)).unwrap_or(rest.len());
                let is_compared = rest[end..].trim_start().starts_with(['=', '!', '<', '>', ':']);
                if is_compared && !first.is_numeric() {
                    names.push(&rest[..end]);
                }
                end
            }
            other => other.len_utf8(),
        };
        rest = &rest[length..];
    }
    names
}

/// The code blocks of a Markdown document in a language.
pub(super) fn blocks<'a>(document: &'a str, language: &'a str) -> impl Iterator<Item = &'a str> {
    document.split("```").skip(1).step_by(2).filter_map(move |block| {
        let (marked, query) = block.split_once('\n')?;
        (marked == language).then_some(query)
    })
}

/// The texts between single backticks.
pub(super) fn quoted(document: &str) -> impl Iterator<Item = &str> {
    let prose = document.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compared_names_are_found_in_all_three_languages() {
        let logql = r#"{service_name=~"a|b"} |= "x = 1" | trace_id != "" | event_duration > 1000"#;
        assert_eq!(compared(logql), ["service_name", "trace_id", "event_duration"]);
        let traceql = "{ resource.service.name = \"a\" && span:duration > 1s }";
        assert_eq!(compared(traceql), ["resource.service.name", "span", "duration"]);
        let kql = r#"service.name : "a" and not log.logger:telemetry* and event.duration >= 5"#;
        assert_eq!(compared(kql), ["service.name", "log.logger", "event.duration"]);
    }

    #[test]
    fn blocks_and_quotes_are_told_apart() {
        let document = "`a` text\n```promql\nup == 0\n```\n`b`\n```sh\nmake up\n```\n";
        assert_eq!(blocks(document, "promql").collect::<Vec<_>>(), ["up == 0\n"]);
        assert_eq!(quoted(document).collect::<Vec<_>>(), ["a", "b"]);
    }
}
