//! README.md and REFERENCE.md are read before the code: what they quote and list must be the code.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

use clap::{Args, Command};
use telemetry::Settings;

const README: &str = include_str!("../README.md");
const REFERENCE: &str = include_str!("../REFERENCE.md");

#[test]
fn the_readme_quotes_the_example_exactly() {
    let quoted = format!("```rust\n{}```\n", include_str!("../examples/service.rs"));
    assert!(README.contains(&quoted), "examples/service.rs has changed: quote it again");
}

#[test]
fn the_readme_is_at_most_130_lines() {
    assert!(README.lines().count() <= 130);
}

#[test]
fn the_reference_lists_every_setting() {
    let settings = Settings::augment_args(Command::new("service"));
    // An argument without a variable is no setting of a service.
    let settings: Vec<_> = settings.get_arguments().filter(|setting| setting.get_env().is_some()).collect();
    for setting in &settings {
        let variable = setting.get_env().unwrap().to_str().unwrap();
        match setting.get_default_values() {
            // The defaults of the specification stand in the table alone.
            [] => assert!(REFERENCE.contains(&format!("`{variable}`")), "{variable} is not listed"),
            [default, ..] => {
                let default = default.to_str().unwrap();
                let default = if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
                let row = format!("| `{variable}` | {default} |");
                assert!(REFERENCE.contains(&row), "no row starts with {row}");
            }
        }
    }
    let rows = REFERENCE.lines().filter(|line| line.starts_with("| `") && line.contains('_'));
    let listed = rows.filter_map(|row| row.split('|').nth(1)).flat_map(|names| names.split(','));
    for name in listed
        .map(|name| name.trim().trim_matches('`'))
        .filter(|name| name.starts_with(|first: char| first.is_ascii_uppercase()))
    {
        let exists = settings.iter().any(|setting| setting.get_env().unwrap() == name);
        assert!(exists, "{name} is listed and does not exist");
    }
}
