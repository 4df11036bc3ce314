//! What has changed between two recordings: the status, and the fields of the JSON. Values differ each time.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Recording;

/// One line for each difference, or one that says that there is none.
pub(super) fn changes(old: Option<&Recording>, new: &Recording) -> String {
    let Some(old) = old else { return format!("{}: the first recording of {}\n", new.folder(), new.server) };
    let mut lines = Vec::new();
    for (name, answer) in &new.answers {
        let Some(before) = old.answers.get(name) else {
            lines.push(format!("{name}: new"));
            continue;
        };
        if before.status != answer.status {
            lines.push(format!("{name}: status {} was {}", answer.status, before.status));
        }
        let (was, is) = (fields(&before.body), fields(&answer.body));
        lines.extend(was.difference(&is).map(|field| format!("{name}: without {field}")));
        lines.extend(is.difference(&was).map(|field| format!("{name}: with {field}")));
    }
    if lines.is_empty() {
        return format!("{}: as {}\n", new.folder(), old.folder());
    }
    lines.iter().fold(format!("{}, compared with {}:\n", new.folder(), old.folder()), |text, line| {
        text + "  " + line + "\n"
    })
}

/// The paths in a JSON document, with the type at each; one for a text.
fn fields(body: &[u8]) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    match serde_json::from_slice(body) {
        Ok(document) => visit("", &document, &mut fields),
        Err(_) => drop(fields.insert("a text that is no JSON".to_owned())),
    }
    fields
}

fn visit(path: &str, value: &Value, fields: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Object(map) => {
            map.iter().for_each(|(name, value)| visit(&format!("{path}.{name}"), value, fields));
            return;
        }
        Value::Array(items) => {
            items.iter().for_each(|item| visit(&format!("{path}[]"), item, fields));
            return;
        }
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
    };
    fields.insert(format!("{} ({kind})", path.trim_start_matches('.')));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::recording::Answer;

    fn recording(version: &str, status: u16, body: &str) -> Recording {
        Recording {
            server: "jaeger".into(),
            version: version.into(),
            is_real: true,
            trace: "aa".into(),
            order: "o-1".into(),
            answers: [("trace".to_owned(), Answer { status, body: body.into() })].into(),
        }
    }

    #[test]
    fn other_values_are_no_change_and_other_fields_are() {
        let old = recording("1", 200, r#"{"spans":[{"id":"a"}]}"#);
        let same = recording("2", 200, r#"{"spans":[{"id":"b"},{"id":"c"}]}"#);
        assert_eq!(changes(Some(&old), &same), "jaeger-2: as jaeger-1\n");
        let new = changes(Some(&old), &recording("2", 404, r#"{"spans":[{"id":1}]}"#));
        for line in ["status 404 was 200", "without spans[].id (text)", "with spans[].id (number)"] {
            assert!(new.contains(line), "{new}");
        }
    }
}
