//! Reading a JSON document of a stranger: every field that is wrong is noted with its JSON Pointer, not just
//! the first. A reader answers `None` for what it has noted, so that the rest can still be looked at.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};
use service::problem::FieldError;

/// What has been noted so far.
#[derive(Default)]
pub(crate) struct Notes(RefCell<Vec<FieldError>>);

impl Notes {
    pub(crate) fn into_errors(self) -> Vec<FieldError> {
        self.0.into_inner()
    }
}

/// A value, and where it is.
pub(crate) struct Place<'a> {
    value: &'a Value,
    pointer: String,
    notes: &'a Notes,
}

/// An object whose names have been checked.
pub(crate) struct Fields<'a> {
    fields: &'a Map<String, Value>,
    pointer: String,
    notes: &'a Notes,
}

impl<'a> Place<'a> {
    pub(crate) fn root(value: &'a Value, notes: &'a Notes) -> Self {
        Self { value, pointer: String::new(), notes }
    }

    /// Notes that this value is wrong.
    pub(crate) fn wrong<T>(&self, code: &'static str, detail: impl Into<String>) -> Option<T> {
        note(self.notes, self.pointer.clone(), code, detail.into())
    }

    /// An object with exactly these names.
    pub(crate) fn object(&self, names: &[&str]) -> Option<Fields<'a>> {
        let Value::Object(fields) = self.value else { return self.wrong("type", "must be an object") };
        for name in names.iter().filter(|name| !fields.contains_key(**name)) {
            note::<()>(self.notes, format!("{}/{name}", self.pointer), "missing", "is missing".to_owned());
        }
        for name in fields.keys().filter(|name| !names.contains(&name.as_str())) {
            let detail = format!("is not known; known are {}", names.join(", "));
            note::<()>(self.notes, format!("{}/{}", self.pointer, escaped(name)), "unknown", detail);
        }
        Some(Fields { fields, pointer: self.pointer.clone(), notes: self.notes })
    }

    /// The elements of an array.
    pub(crate) fn array(&self, length: RangeInclusive<usize>) -> Option<Vec<Place<'a>>> {
        let Value::Array(values) = self.value else { return self.wrong("type", "must be an array") };
        if !length.contains(&values.len()) {
            let detail = format!("must have {} to {} elements", length.start(), length.end());
            return self.wrong("length", detail);
        }
        let place =
            |(index, value)| Place { value, pointer: format!("{}/{index}", self.pointer), notes: self.notes };
        Some(values.iter().enumerate().map(place).collect())
    }

    /// A string.
    pub(crate) fn text(&self) -> Option<&'a str> {
        self.value.as_str().or_else(|| self.wrong("type", "must be a string"))
    }

    /// A whole number, written without point or exponent.
    pub(crate) fn integer(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let detail = || format!("must be a whole number from {} to {}", range.start(), range.end());
        let Some(number) = self.value.as_i64() else {
            let code = if self.value.is_number() { "range" } else { "type" };
            return self.wrong(code, detail());
        };
        let number = u32::try_from(number).ok().filter(|number| range.contains(number));
        number.or_else(|| self.wrong("range", detail()))
    }
}

impl<'a> Fields<'a> {
    /// The value of a name; its absence has been noted.
    pub(crate) fn get(&self, name: &str) -> Option<Place<'a>> {
        let value = self.fields.get(name)?;
        Some(Place { value, pointer: format!("{}/{name}", self.pointer), notes: self.notes })
    }
}

fn note<T>(notes: &Notes, pointer: String, code: &'static str, detail: String) -> Option<T> {
    notes.0.borrow_mut().push(FieldError { pointer, code: code.into(), detail: detail.into() });
    None
}

/// A name of the client's choice, as a short piece of a JSON Pointer (RFC 6901).
fn escaped(name: &str) -> String {
    let short: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    short.replace('~', "~0").replace('/', "~1")
}
