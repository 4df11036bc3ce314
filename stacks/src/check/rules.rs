//! Requirements of rules and alerts beyond those of promtool.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{files::Tree, findings::Findings};

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The file.
    pub file: String,
    /// The recorded metric; none for an alert.
    pub record: Option<String>,
    /// The alert; none for a recorded metric.
    pub alert: Option<String>,
    /// The expression.
    pub expr: String,
    labels: Value,
    annotations: Value,
}

/// All rules, in their order.
pub fn rules(tree: &Tree) -> Vec<Rule> {
    let mut found = Vec::new();
    for (file, value) in tree.values("stacks/prometheus/rules/") {
        for rule in list(value, "groups").flat_map(|group| list(group, "rules")) {
            let text = |key: &str| rule[key].as_str().map(str::to_owned);
            found.push(Rule {
                file: file.to_owned(),
                record: text("record"),
                alert: text("alert"),
                expr: text("expr").unwrap_or_default(),
                labels: rule["labels"].clone(),
                annotations: rule["annotations"].clone(),
            });
        }
    }
    found
}

pub(super) fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// Checks that each alert has severity, service, summary, description with the value and a runbook, and is tested both
/// firing and silent.
pub(super) fn check(tree: &Tree, findings: &mut Findings) {
    let (mut fire, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for (_, tests) in tree.values("stacks/prometheus/tests/") {
        for case in list(tests, "tests").flat_map(|test| list(test, "alert_rule_test")) {
            let name = case["alertname"].as_str().unwrap_or_default();
            if list(case, "exp_alerts").next().is_some() {
                fire.insert(name)
            } else {
                silent.insert(name)
            };
        }
    }
    for rule in rules(tree) {
        let Some(alert) = &rule.alert else { continue };
        let mut lacks = |what: &str| findings.add(&rule.file, format!("{alert} {what}"));
        if !matches!(rule.labels["severity"].as_str(), Some("page" | "ticket")) {
            lacks("has a severity other than page and ticket");
        }
        if rule.labels["service"].as_str().is_none_or(str::is_empty) {
            lacks("does not say which service it is about: no label `service`");
        }
        if rule.annotations["summary"].as_str().is_none_or(str::is_empty) {
            lacks("has no summary");
        }
        if !rule.annotations["description"].as_str().is_some_and(|text| text.contains("$value")) {
            lacks("has no description with the value");
        }
        match rule.annotations["runbook_url"].as_str() {
            Some(page) if tree.text(page).is_some() => {}
            page => lacks(&format!("has no runbook: there is no file {:?}", page.unwrap_or_default())),
        }
        if !fire.contains(alert.as_str()) {
            lacks("has no test in which it fires");
        }
        if !silent.contains(alert.as_str()) {
            lacks("has no test in which it does not fire");
        }
    }
}
