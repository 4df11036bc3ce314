//! A place in a JSON document. Every field that is wrong is noted with its JSON Pointer, not just the first: a method
//! returns `None` for a field that it has noted, so that the others can still be read.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};
use service::problem::FieldError;

/// The errors that have been noted so far.
#[derive(Default)]
pub(crate) struct Errors(RefCell<Vec<FieldError>>);

impl Errors {
    /// All of them, in the order of their pointers.
    pub(crate) fn into_sorted(self) -> Vec<FieldError> {
        let mut errors = self.0.into_inner();
        errors.sort_by(|a, b| a.pointer.cmp(&b.pointer));
        errors
    }

    fn note<T>(&self, pointer: String, code: &'static str, detail: String) -> Option<T> {
        self.0.borrow_mut().push(FieldError { pointer, code: code.into(), detail: detail.into() });
        None
    }
}

/// A value and its place.
pub(crate) struct Cursor<'a> {
    value: &'a Value,
    pointer: String,
    errors: &'a Errors,
}

/// An object whose names have been checked.
pub(crate) struct Fields<'a> {
    fields: &'a Map<String, Value>,
    pointer: String,
    errors: &'a Errors,
}

impl<'a> Cursor<'a> {
    pub(crate) fn root(value: &'a Value, errors: &'a Errors) -> Self {
        Self { value, pointer: String::new(), errors }
    }

    /// Notes that this value is wrong.
    pub(crate) fn wrong<T>(&self, code: &'static str, detail: impl Into<String>) -> Option<T> {
        self.errors.note(self.pointer.clone(), code, detail.into())
    }

    /// An object with exactly these names.
    pub(crate) fn object(&self, names: &[&str]) -> Option<Fields<'a>> {
        let Value::Object(fields) = self.value else { return self.wrong("type", "must be an object") };
        for name in names.iter().filter(|name| !fields.contains_key(**name)) {
            let pointer = format!("{}/{name}", self.pointer);
            self.errors.note::<()>(pointer, "missing", "is missing".to_owned());
        }
        for name in fields.keys().filter(|name| !names.contains(&name.as_str())) {
            let pointer = format!("{}/{}", self.pointer, escaped(name));
            let detail = format!("is not known; known are {}", names.join(", "));
            self.errors.note::<()>(pointer, "unknown", detail);
        }
        Some(Fields { fields, pointer: self.pointer.clone(), errors: self.errors })
    }

    /// The elements of an array of this length.
    pub(crate) fn array(&self, length: RangeInclusive<usize>) -> Option<Vec<Self>> {
        let Value::Array(values) = self.value else { return self.wrong("type", "must be an array") };
        if !length.contains(&values.len()) {
            let detail = format!("must have {} to {} elements", length.start(), length.end());
            return self.wrong("length", detail);
        }
        let element = |(index, value)| {
            let pointer = format!("{}/{index}", self.pointer);
            Self { value, pointer, errors: self.errors }
        };
        Some(values.iter().enumerate().map(element).collect())
    }

    /// A string.
    pub(crate) fn text(&self) -> Option<&'a str> {
        self.value.as_str().or_else(|| self.wrong("type", "must be a string"))
    }

    /// A whole number in this range, written without point or exponent.
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
    pub(crate) fn get(&self, name: &str) -> Option<Cursor<'a>> {
        let value = self.fields.get(name)?;
        Some(Cursor { value, pointer: format!("{}/{name}", self.pointer), errors: self.errors })
    }
}

/// A name of the client's choice as a short part of a JSON Pointer (RFC 6901).
fn escaped(name: &str) -> String {
    let short: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    short.replace('~', "~0").replace('/', "~1")
}
