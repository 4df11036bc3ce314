//! The schema of the tests.

use store::Migrations;

const NOTES: &str = "CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT NOT NULL)";
pub(crate) const MIGRATIONS: Migrations =
    Migrations { owner: "notes", sqlite: &[], postgres: &[("notes", NOTES)] };
