//! Reading a JSON document without ambiguity, and naming each of its fields that is wrong.

mod cursor;
mod document;

pub(crate) use cursor::{Cursor, Errors};
pub(crate) use document::Document;
