//! Log lines, read strictly: in order, and with every key, because a JSON object as most libraries read it
//! hides a key that was written twice.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// One log line: its keys and values as they were written.
#[derive(Debug)]
pub(crate) struct Line(Vec<(String, Value)>);

impl Line {
    pub(crate) fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(key, _)| key.as_str()).collect()
    }

    /// `null` where the key is absent.
    pub(crate) fn get(&self, key: &str) -> &Value {
        self.0.iter().find(|(name, _)| name == key).map_or(&Value::Null, |(_, value)| value)
    }

    pub(crate) fn message(&self) -> &str {
        self.get("message").as_str().unwrap()
    }
}

/// Every whole line of `text`; fails for one that is torn, that is no object, or that has a key twice.
pub(crate) fn parse(text: &str) -> Vec<Line> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is not whole: {text:?}");
    text.lines()
        .map(|raw| {
            let line: Line =
                serde_json::from_str(raw).unwrap_or_else(|error| panic!("{error} in the line {raw}"));
            let distinct: HashSet<_> = line.keys().into_iter().collect();
            assert_eq!(distinct.len(), line.0.len(), "a key occurs twice: {raw}");
            line
        })
        .collect()
}

/// The lines with this message.
pub(crate) fn saying<'a>(lines: &'a [Line], message: &str) -> Vec<&'a Line> {
    lines.iter().filter(|line| line.message() == message).collect()
}

/// The lines that were logged in this trace.
pub(crate) fn of_trace<'a>(lines: &'a [Line], trace: &str) -> Vec<&'a Line> {
    lines.iter().filter(|line| line.get("trace.id") == trace).collect()
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Line;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Line(entries))
            }
        }
        from.deserialize_map(InOrder)
    }
}
