//! The documents of the repository: links lead somewhere, and settings are those of the programs.

#![expect(clippy::unwrap_used, reason = "all of this crate is a test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use stacks::{
    check::{Findings, contract, files::Tree},
    registry::Registry,
};

/// Headings of docs/configuration.md, and the binaries whose settings are below them.
const SERVICES: [(&str, &str); 3] = [("Gateway", "gateway"), ("Payment", "payment"), ("Mailer", "mailer")];
/// The document of the settings that all services share.
const REFERENCE: &str = "telemetry/REFERENCE.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Adds the files with an extension below a directory.
fn collect(directory: &Path, wanted: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, wanted, found);
        } else if path.extension().is_some_and(|extension| extension == wanted) {
            found.push(path);
        }
    }
}

fn documents() -> Vec<PathBuf> {
    let files =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "telemetry/README.md", "telemetry/REFERENCE.md"];
    let mut found = files.map(|name| root().join(name)).to_vec();
    collect(&root().join("docs"), "md", &mut found);
    found
}

/// The text without its code blocks.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// The anchor that a renderer gives a heading.
fn anchor(heading: &str) -> String {
    let is_kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    heading.to_lowercase().chars().filter(is_kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    headings.map(|heading| anchor(heading.trim())).collect()
}

/// The targets of links in the same repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let references =
        text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: ").map(|(_, to)| to));
    inline.chain(references).filter(|link| !link.starts_with("http"))
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = prose(&fs::read_to_string(&document).unwrap());
        for link in links(&text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { document.clone() } else { document.with_file_name(file) };
            let has_heading = || {
                let text = fs::read_to_string(&target).unwrap_or_default();
                anchors(&prose(&text)).contains(heading)
            };
            if !target.exists() || !(heading.is_empty() || has_heading()) {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Folders of the repository whose files the documents name.
const FOLDERS: [&str; 9] =
    ["docs/", "fuzz/", "gateway/", "mailer/", "payment/", "service/", "stacks/", "store/", "telemetry/"];

#[test]
fn named_files_exist() {
    let mut missing = Vec::new();
    for document in documents() {
        let text = prose(&fs::read_to_string(&document).unwrap());
        let quoted = text.split('`').skip(1).step_by(2);
        let is_path = |name: &&str| {
            FOLDERS.iter().any(|folder| name.starts_with(folder)) && !name.contains([' ', '<', '*', '{'])
        };
        missing.extend(quoted.filter(is_path).filter(|name| !root().join(name).exists()).map(str::to_owned));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_readme_and_the_rules_stay_short() {
    for (document, limit) in [("README.md", 100), ("CONTRIBUTING.md", 50)] {
        let lines = fs::read_to_string(root().join(document)).unwrap().lines().count();
        assert!(lines <= limit, "{document} has {lines} lines, of {limit}");
    }
}

#[test]
fn tables_are_those_of_the_registry() {
    let mut findings = Findings::default();
    let tree = Tree::read(&root(), &mut findings).unwrap();
    let registry = contract::read(&tree, &mut findings);
    contract::check_documents(&tree, &registry, &mut findings);
    assert!(findings.all().is_empty(), "{:#?}", findings.all());
}

#[test]
fn every_log_event_of_the_registry_is_in_the_code() {
    let mut files = Vec::new();
    for folder in ["gateway", "mailer", "payment", "service", "store", "telemetry"] {
        collect(&root().join(folder), "rs", &mut files);
    }
    let code: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let events = Registry::built_in().events.iter();
    let unknown: Vec<_> = events.filter(|event| !code.contains(&format!("\"{}\"", event.message))).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// Variables and defaults in the `--help` of a service.
fn settings(service: &str) -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_stacks")).with_file_name(service);
    let help = Command::new(binary).arg("--help").current_dir(&directory).env_clear().output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let usage = help.lines().find(|line| line.starts_with("Usage:")).unwrap();
    let mut found = BTreeMap::new();
    for setting in help.split("\n      --").skip(1) {
        let value = |name: &str| Some(setting.split_once(name)?.1.split_once(']')?.0.trim_matches('"'));
        let Some(variable) = value("[env: ") else { continue };
        let variable = variable.trim_end_matches('=');
        let default = match value("[default: ") {
            None if usage.contains(&format!("<{variable}>")) => "required".to_owned(),
            None => "none".to_owned(),
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        found.insert(variable.to_owned(), default);
    }
    found
}

/// Variables and defaults in the table below a heading.
fn listed(page: &str, heading: &str) -> BTreeMap<String, String> {
    let start = page.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = page[start + 4..].split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let variable = cells.next().unwrap().trim_matches('`').to_owned();
        (variable, cells.next().unwrap().to_owned())
    })
    .collect()
}

#[test]
fn every_setting_is_listed_with_its_default() {
    let page = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let reference = fs::read_to_string(root().join(REFERENCE)).unwrap();
    for (heading, service) in SERVICES {
        let mut own = settings(service);
        own.retain(|variable, _| !reference.contains(&format!("`{variable}`")));
        assert_eq!(listed(&page, heading), own, "docs/configuration.md (left) and `{service} --help`");
    }
}
