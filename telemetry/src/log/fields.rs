//! The fields of a line, as slog-json gets them.
//!
//! It formats values into a buffer of the thread: one that fails or panics midway leaves there what the next line would
//! begin with, and one that logs finds the buffer in use. So it gets their text, and all else as it is.

use std::fmt;

use slog::{KV, Key, OwnedKVList, Record, SerdeValue, Serializer};

use crate::text;

/// The fields of a logger, then those of a record.
pub(super) struct Fields<'a>(pub(super) &'a OwnedKVList, pub(super) &'a Record<'a>);

impl KV for Fields<'_> {
    fn serialize(&self, _: &Record<'_>, to: &mut dyn Serializer) -> slog::Result {
        let Self(values, record) = self;
        let mut plain = Plain(to);
        values.serialize(record, &mut plain)?;
        record.kv().serialize(record, &mut plain)
    }
}

struct Plain<'a>(&'a mut dyn Serializer);

/// What has a shape of its own in JSON.
macro_rules! as_it_is {
    ($($emit:ident($kind:ty)),* $(,)?) => {
        $(fn $emit(&mut self, key: Key, value: $kind) -> slog::Result {
            self.0.$emit(key, value)
        })*
    };
}

impl Serializer for Plain<'_> {
    as_it_is! {
        emit_bool(bool), emit_char(char), emit_str(&str), emit_serde(&dyn SerdeValue),
        emit_u8(u8), emit_u16(u16), emit_u32(u32), emit_u64(u64), emit_u128(u128), emit_usize(usize),
        emit_i8(i8), emit_i16(i16), emit_i32(i32), emit_i64(i64), emit_i128(i128), emit_isize(isize),
        emit_f32(f32), emit_f64(f64),
    }

    fn emit_unit(&mut self, key: Key) -> slog::Result {
        self.0.emit_unit(key)
    }

    fn emit_none(&mut self, key: Key) -> slog::Result {
        self.0.emit_none(key)
    }

    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        text::with(*value, |text| self.0.emit_str(key, text))
    }
}
