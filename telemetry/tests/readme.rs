//! README.md is read before the code is: what it quotes must be the code.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

use clap::{Args, Command};
use telemetry::Settings;

const README: &str = include_str!("../README.md");

#[test]
fn the_readme_quotes_the_example_exactly() {
    let quoted = format!("```rust\n{}```\n", include_str!("../examples/service.rs"));
    assert!(README.contains(&quoted), "examples/service.rs has changed: quote it again");
}

#[test]
fn the_readme_lists_every_setting_with_its_default() {
    let settings = Settings::augment_args(Command::new("service"));
    let mut rows = 0;
    for setting in settings.get_arguments() {
        // What only a command line says is no setting of a service.
        let Some(variable) = setting.get_env() else { continue };
        let variable = variable.to_str().unwrap();
        let default = setting.get_default_values()[0].to_str().unwrap();
        let default = if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
        let row = format!("| `{variable}` | {default} |");
        assert!(README.contains(&row), "no row starts with {row}");
        rows += 1;
    }
    let families = ["| `OTEL_", "| `LOG_", "| `TELEMETRY_"];
    let listed = README.lines().filter(|line| families.iter().any(|family| line.starts_with(family)));
    // And two that are named otherwise.
    assert_eq!(listed.count() + 2, rows, "a row names a setting that does not exist");
}
