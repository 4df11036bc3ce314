//! The inbox against a real SQLite file.
