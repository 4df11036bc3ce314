//! `${NAME}` in Compose files, in the forms that this repository uses.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Values by name; an empty one counts as absent in `:-` and `:?`.
pub type Variables = BTreeMap<String, String>;

/// Replaces `${A}`, `${A-default}`, `${A:-default}`, `${A:?why it must be set}`, and `$$` by `$`.
pub(crate) fn interpolate(text: &str, variables: &Variables) -> Result<String> {
    let mut rest = text;
    let mut result = String::with_capacity(text.len());
    while let Some(dollar) = rest.find('$') {
        result.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
            continue;
        }
        let expression = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (expression, after) = expression
            .with_context(|| format!("cannot read `{text}`: a $ that is neither ${{NAME}} nor $$"))?;
        result.push_str(&value(expression, variables)?);
        rest = after;
    }
    Ok(result + rest)
}

/// Interpolates every text of a document.
pub(crate) fn interpolate_all(document: &mut Value, variables: &Variables) -> Result<()> {
    match document {
        Value::String(text) => *text = interpolate(text, variables)?,
        Value::Array(items) => items.iter_mut().try_for_each(|item| interpolate_all(item, variables))?,
        Value::Object(map) => map.values_mut().try_for_each(|value| interpolate_all(value, variables))?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Reads the lines `NAME=value` of an environment file and interpolates the values.
pub(crate) fn read_lines(text: &str, variables: &Variables) -> Result<Variables> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) =
                line.split_once('=').with_context(|| format!("`{line}` is not NAME=value"))?;
            Ok((name.to_owned(), interpolate(value, variables)?))
        })
        .collect()
}

fn value(expression: &str, variables: &Variables) -> Result<String> {
    let end = expression.find([':', '-', '?']).unwrap_or(expression.len());
    let (name, operator) = expression.split_at(end);
    let set = variables.get(name);
    let filled = set.filter(|value| !value.is_empty());
    if let Some(default) = operator.strip_prefix(":-") {
        return Ok(filled.cloned().unwrap_or_else(|| default.to_owned()));
    }
    if let Some(default) = operator.strip_prefix('-') {
        return Ok(set.cloned().unwrap_or_else(|| default.to_owned()));
    }
    if let Some(reason) = operator.strip_prefix(":?") {
        return filled.cloned().with_context(|| format!("{name} is not set: {reason}"));
    }
    if !operator.is_empty() {
        bail!("cannot read `${{{expression}}}`");
    }
    Ok(set.cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        [("SET", "x"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn names_are_interpolated_as_compose_does() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a-${SET}-b", "a-x-b"),
            ("${UNSET}", ""),
            ("${UNSET:-127.0.0.1:3000}:3000", "127.0.0.1:3000:3000"),
            ("${SET:-y}${EMPTY:-y}${EMPTY-y}${UNSET-y}", "xyy"),
            ("$$SET costs $$5", "$SET costs $5"),
            ("${SET:?must be}", "x"),
        ] {
            assert_eq!(interpolate(text, &variables()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn absent_values_and_unknown_forms_are_refused() {
        let error = interpolate("${EMPTY:?make up-elk writes one}", &variables()).unwrap_err().to_string();
        assert_eq!(error, "EMPTY is not set: make up-elk writes one");
        for bad in ["$SET", "${SET", "cost: 5$", "${SET:+other}"] {
            assert!(interpolate(bad, &variables()).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_of_an_environment_file_are_interpolated() {
        let text = "# a comment\n\nPAGE=http://${HOST:-localhost}/{traceId}?a=b\nEMPTY=\n";
        let lines = read_lines(text, &Variables::new()).unwrap();
        assert_eq!(lines["PAGE"], "http://localhost/{traceId}?a=b");
        assert_eq!(lines["EMPTY"], "");
        assert!(read_lines("no equals sign", &Variables::new()).is_err());
    }
}
