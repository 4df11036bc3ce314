//! Messages of OTLP, written field by field.
//!
//! A span or a line has some twenty attributes. To build them as values of `opentelemetry-proto` first costs two
//! allocations for each, which is more than everything else that is done with them; what they are is its definition.

#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};
use std::time::Duration;

use opentelemetry::{Array, Value};

/// The two lowest bits of a key (Protocol Buffers, "Message Structure").
mod wire {
    pub(super) const VARINT: u32 = 0;
    pub(super) const FIXED64: u32 = 1;
    pub(super) const LENGTH: u32 = 2;
    pub(super) const FIXED32: u32 = 5;
}

/// `KeyValue` and `AnyValue` of opentelemetry/proto/common/v1/common.proto.
mod tag {
    pub(super) const KEY: u32 = 1;
    pub(super) const VALUE: u32 = 2;
    pub(super) const STRING: u32 = 1;
    pub(super) const BOOL: u32 = 2;
    pub(super) const INT: u32 = 3;
    pub(super) const DOUBLE: u32 = 4;
    pub(super) const ARRAY: u32 = 5;
    pub(super) const VALUES: u32 = 1;
}

/// A message that is being written. Fields are named by their numbers; those that have their default may be left out.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// Writes what comes behind what is there.
    pub(crate) fn after(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Fields that were written before.
    pub(crate) fn fields(&mut self, encoded: &[u8]) {
        self.0.extend_from_slice(encoded);
    }

    pub(crate) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.head(field, value.len());
        self.0.extend_from_slice(value);
    }

    pub(crate) fn uint(&mut self, field: u32, value: u64) {
        self.key(field, wire::VARINT);
        self.varint(value);
    }

    pub(crate) fn fixed32(&mut self, field: u32, value: u32) {
        self.key(field, wire::FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, wire::FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A moment in nanoseconds since the Unix epoch.
    pub(crate) fn time(&mut self, field: u32, since_epoch: Duration) {
        self.fixed64(field, u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX));
    }

    /// A message within this one.
    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.key(field, wire::LENGTH);
        let at = self.0.len();
        self.0.push(0);
        write(self);
        match u8::try_from(self.0.len() - at - 1) {
            Ok(length @ ..0x80) => self.0[at] = length,
            // Most are shorter than this, so that their length has its place already.
            _ => self.widen(at),
        }
    }

    /// A `KeyValue`.
    pub(crate) fn attribute(&mut self, field: u32, key: &str, write: impl FnOnce(&mut Self)) {
        self.message(field, |attribute| {
            attribute.bytes(tag::KEY, key.as_bytes());
            attribute.message(tag::VALUE, write);
        });
    }

    /// A `KeyValue` whose value is a string: what most of them are.
    pub(crate) fn text_attribute(&mut self, field: u32, key: &str, value: &str) {
        const fn tag(field: u32) -> u8 {
            (field << 3 | wire::LENGTH) as u8
        }
        let length = 6 + key.len() + value.len();
        if field > 15 || length >= 0x80 {
            return self.attribute(field, key, |to| to.string(value));
        }
        // Each tag and each length is one byte, as nearly all are: what is around the texts is known at once.
        let (named, said) = (key.len() as u8, value.len() as u8);
        self.0.reserve(2 + length);
        self.0.extend_from_slice(&[tag(field), length as u8, tag(tag::KEY), named]);
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(&[tag(tag::VALUE), 2 + said, tag(tag::STRING), said]);
        self.0.extend_from_slice(value.as_bytes());
    }

    /// Within an `AnyValue`.
    pub(crate) fn string(&mut self, value: &str) {
        self.bytes(tag::STRING, value.as_bytes());
    }

    /// Within an `AnyValue`: a string that is formatted where it belongs.
    pub(crate) fn display(&mut self, value: fmt::Arguments<'_>) {
        match value.as_str() {
            Some(text) => self.string(text),
            // Only a value that says so by itself fails; what it had written stays.
            None => self.message(tag::STRING, |text| {
                let _ = text.write_fmt(value);
            }),
        }
    }

    /// Within an `AnyValue`.
    pub(crate) fn bool(&mut self, value: bool) {
        self.uint(tag::BOOL, value.into());
    }

    /// Within an `AnyValue`.
    pub(crate) fn int(&mut self, value: i64) {
        self.uint(tag::INT, value.cast_unsigned());
    }

    /// Within an `AnyValue`: OTLP has no unsigned numbers, and what is too large is text.
    pub(crate) fn unsigned(&mut self, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.int(value),
            Err(_) => self.display(format_args!("{value}")),
        }
    }

    /// Within an `AnyValue`.
    pub(crate) fn double(&mut self, value: f64) {
        self.fixed64(tag::DOUBLE, value.to_bits());
    }

    /// Within an `AnyValue`.
    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(value) => self.bool(*value),
            Value::I64(value) => self.int(*value),
            Value::F64(value) => self.double(*value),
            Value::String(value) => self.string(value.as_str()),
            Value::Array(Array::Bool(values)) => self.array(values, |to, value| to.bool(*value)),
            Value::Array(Array::I64(values)) => self.array(values, |to, value| to.int(*value)),
            Value::Array(Array::F64(values)) => self.array(values, |to, value| to.double(*value)),
            Value::Array(Array::String(values)) => self.array(values, |to, value| to.string(value.as_str())),
            // Both kinds are open to what a later version may add.
            other => self.display(format_args!("{other}")),
        }
    }

    fn array<T>(&mut self, values: &[T], write: impl Fn(&mut Self, &T)) {
        self.message(tag::ARRAY, |array| {
            for value in values {
                array.message(tag::VALUES, |one| write(one, value));
            }
        });
    }

    /// What precedes so many bytes.
    fn head(&mut self, field: u32, length: usize) {
        match (u8::try_from(field << 3 | wire::LENGTH), u8::try_from(length)) {
            // Most are like this: one step for what would be a loop for each.
            (Ok(key @ ..0x80), Ok(length @ ..0x80)) => self.0.extend_from_slice(&[key, length]),
            _ => {
                self.key(field, wire::LENGTH);
                self.varint(length as u64);
            }
        }
    }

    fn key(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Puts the length of what is behind `at` there, where it needs more than the one byte.
    fn widen(&mut self, at: usize) {
        let mut length = Self::default();
        length.varint((self.0.len() - at - 1) as u64);
        self.0.splice(at..=at, length.0);
    }
}

impl fmt::Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
