//! The fields of a line, as slog-json gets them: values that have to be formatted are text already.
//!
//! slog-json formats a value into a buffer of the thread. One that fails or panics midway leaves there the beginning of
//! the next line, and one that logs finds the buffer in use.

use std::fmt;

use slog::{KV, Key, OwnedKVList, Record, SerdeValue, Serializer};

use super::entry::text;

/// The fields of a logger, then those of a record.
pub(super) struct Fields<'a>(pub(super) &'a OwnedKVList, pub(super) &'a Record<'a>);

impl KV for Fields<'_> {
    fn serialize(&self, _: &Record<'_>, to: &mut dyn Serializer) -> slog::Result {
        let Self(values, record) = self;
        let mut formatting = Formatting(to);
        values.serialize(record, &mut formatting)?;
        record.kv().serialize(record, &mut formatting)
    }
}

/// Passes values on to another serializer, formatted ones as text.
struct Formatting<'a>(&'a mut dyn Serializer);

/// The methods for values that JSON has a form for.
macro_rules! pass_on {
    ($($emit:ident($kind:ty)),* $(,)?) => {
        $(fn $emit(&mut self, key: Key, value: $kind) -> slog::Result {
            self.0.$emit(key, value)
        })*
    };
}

impl Serializer for Formatting<'_> {
    pass_on! {
        emit_bool(bool), emit_char(char), emit_str(&str), emit_serde(&dyn SerdeValue),
        emit_u8(u8), emit_u16(u16), emit_u32(u32), emit_u64(u64), emit_u128(u128), emit_usize(usize),
        emit_i8(i8), emit_i16(i16), emit_i32(i32), emit_i64(i64), emit_i128(i128), emit_isize(isize),
        emit_f32(f32), emit_f64(f64),
    }

    fn emit_unit(&mut self, key: Key) -> slog::Result {
        self.0.emit_unit(key)
    }

    /// Left out, as over OTLP: a field of most lines would be `null` in most.
    fn emit_none(&mut self, _: Key) -> slog::Result {
        Ok(())
    }

    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.0.emit_str(key, &text(*value))
    }
}
