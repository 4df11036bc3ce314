//! promtool and amtool, run on the files of Prometheus and Alertmanager.

use std::{fs, io::Write as _, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::{files::Tree, findings::Findings};

const FOLDER: &str = "stacks/prometheus";

/// The configurations, with promtool's flags for each.
const CONFIGURATIONS: [(&str, &[&str]); 2] = [("classic.yaml", &[]), ("agent.yaml", &["--agent"])];

/// A configuration with its `scrape_config_files` merged and its `rule_files` made absolute: versions before 2.43 know only
/// this form.
///
/// # Errors
/// Names the file that cannot be read.
pub fn whole_config(path: &Path) -> Result<Value> {
    let read = |path: &Path| -> Result<Value> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_saphyr::from_str(&text).with_context(|| format!("cannot read {} as YAML", path.display()))
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let folder = folder.canonicalize().with_context(|| format!("cannot use {}", folder.display()))?;
    let mut config = read(path)?;
    let config_fields =
        config.as_object_mut().with_context(|| format!("cannot read {}: empty", path.display()))?;
    let mut scrapes = match config_fields.remove("scrape_configs") {
        Some(Value::Array(own)) => own,
        _ => Vec::new(),
    };
    for file in config_fields.remove("scrape_config_files").iter().flat_map(strings) {
        let part = read(&folder.join(file))?;
        scrapes.extend(part["scrape_configs"].as_array().cloned().unwrap_or_default());
    }
    config_fields.insert("scrape_configs".into(), scrapes.into());
    if let Some(rules) = config_fields.get_mut("rule_files") {
        let absolute = strings(rules).map(|file| json!(folder.join(file))).collect();
        *rules = Value::Array(absolute);
    }
    Ok(config)
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Checks configurations and rules.
pub(super) fn check_prometheus(tree: &Tree, findings: &mut Findings) -> Result<()> {
    let folder = tree.root().join(FOLDER);
    for (name, flags) in CONFIGURATIONS {
        let file = format!("{FOLDER}/{name}");
        match whole_config(&folder.join(name)) {
            Err(error) => findings.add(&file, format!("{error:#}")),
            Ok(config) => {
                let mut merged = NamedTempFile::new().context("cannot make a file for promtool")?;
                // JSON is YAML.
                write!(merged, "{config}").context("cannot write a file for promtool")?;
                run(promtool().args(["check", "config"]).args(flags).arg(merged.path()), &file, findings)?;
            }
        }
    }
    for (path, _) in tree.texts("stacks/prometheus/rules/") {
        run(promtool().args(["check", "rules", "--lint-fatal"]).arg(tree.root().join(path)), path, findings)?;
    }
    Ok(())
}

/// Runs the tests of the rules; returns the number of their files.
pub(super) fn run_rule_tests(tree: &Tree, findings: &mut Findings) -> Result<usize> {
    let tests: Vec<_> = tree.texts("stacks/prometheus/tests/").map(|(path, _)| path).collect();
    for path in &tests {
        run(promtool().args(["test", "rules"]).arg(tree.root().join(path)), path, findings)?;
    }
    Ok(tests.len())
}

/// Checks the configuration of Alertmanager.
pub(super) fn check_alertmanager(tree: &Tree, findings: &mut Findings) -> Result<()> {
    for (path, _) in tree.texts("stacks/alertmanager/") {
        run(Command::new("amtool").arg("check-config").arg(tree.root().join(path)), path, findings)?;
    }
    Ok(())
}

fn promtool() -> Command {
    Command::new("promtool")
}

fn run(command: &mut Command, file: &str, findings: &mut Findings) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => bail!(
            "cannot run {program}: {error}; run `stacks/local/install prometheus prometheus-alertmanager`"
        ),
    };
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        findings.add(file, format!("{program} says:\n{}", String::from_utf8_lossy(&text).trim()));
    }
    Ok(())
}
