//! Grafana's data sources and dashboards: names, links and panels.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    files::{Tree, visit},
    findings::Findings,
    rules::list,
};
use crate::stack::Stack;

/// Grafana's own data source.
const BUILT_IN: &str = "-- Grafana --";

/// The dashboards of every Grafana.
const SHARED: &str = "stacks/grafana/dashboards/";

/// The stacks with a Grafana.
pub(super) fn stacks() -> impl Iterator<Item = Stack> {
    Stack::all().filter(|stack| stack.facts().grafana.is_some())
}

/// The file with the data sources of a stack.
pub(super) fn sources_of(stack: Stack) -> String {
    format!("stacks/grafana/{stack}/datasources.yaml")
}

/// A query of a panel.
#[derive(Clone, Debug)]
pub struct Query {
    /// The file of the dashboard.
    pub file: String,
    /// The title of the panel.
    pub panel: String,
    /// The uid of the data source.
    pub source: String,
    /// The text; empty where the data source needs none.
    pub text: String,
    /// True if it asks for exemplars, too.
    pub with_exemplars: bool,
}

/// The queries of all dashboards, annotations included.
pub fn queries(tree: &Tree) -> Vec<Query> {
    let mut found = Vec::new();
    for (file, board) in dashboards(tree) {
        let mut add = |panel: &Value, target: &Value, title: &str| {
            let source = target["datasource"]["uid"].as_str().or(panel["datasource"]["uid"].as_str());
            let text = target["expr"].as_str().or(target["query"].as_str());
            found.push(Query {
                file: file.to_owned(),
                panel: panel[title].as_str().unwrap_or_default().to_owned(),
                source: source.unwrap_or_default().to_owned(),
                text: text.unwrap_or_default().to_owned(),
                with_exemplars: target["exemplar"] == true,
            });
        };
        for panel in list(board, "panels") {
            list(panel, "targets").for_each(|target| add(panel, target, "title"));
        }
        for annotation in list(&board["annotations"], "list").filter(|query| query["target"].is_object()) {
            add(annotation, &annotation["target"], "name");
        }
    }
    found
}

fn dashboards(tree: &Tree) -> impl Iterator<Item = (&str, &Value)> {
    tree.values("stacks/grafana/").filter(|(path, _)| path.ends_with(".json"))
}

/// Checks data sources and dashboards.
pub(super) fn check(tree: &Tree, findings: &mut Findings) {
    let mut sources = BTreeMap::new();
    for stack in stacks() {
        sources.insert(stack, check_sources(tree, &sources_of(stack), findings));
    }
    let names: Vec<_> = sources.values().collect();
    if names.windows(2).any(|pair| pair[0] != pair[1]) {
        findings.add("stacks/grafana", format!("the stacks have different data sources: {sources:?}"));
    }
    for stack in stacks() {
        let own = format!("stacks/grafana/{stack}/");
        let shown: Vec<_> =
            dashboards(tree).filter(|(path, _)| path.starts_with(SHARED) || path.starts_with(&own)).collect();
        let mut boards = BTreeSet::new();
        for (file, board) in &shown {
            let uid = board["uid"].as_str().unwrap_or_default();
            if uid.is_empty() || !boards.insert(uid) {
                findings.add(file, format!("another dashboard has the uid {uid:?}, too, or it has none"));
            }
        }
        for (file, document) in shown.into_iter().chain(tree.values(&sources_of(stack))) {
            check_names(file, document, &sources[&stack], &boards, findings);
        }
    }
    for (file, board) in dashboards(tree) {
        check_panels(file, board, findings);
    }
}

/// The uids of the data sources in a file.
fn check_sources(tree: &Tree, file: &str, findings: &mut Findings) -> BTreeSet<String> {
    let mut uids = BTreeSet::new();
    let documents: Vec<_> = tree.values(file).collect();
    if documents.is_empty() {
        findings.add(file, "is missing, or not well formed".into());
    }
    for (_, document) in &documents {
        let named = list(document, "datasources").filter_map(|source| source["uid"].as_str());
        uids.extend(named.map(str::to_owned));
    }
    for (_, document) in documents {
        visit(document, &mut |value| {
            for key in ["datasourceUid", "alertmanagerUid"] {
                if let Some(uid) = value[key].as_str().filter(|uid| !uids.contains(*uid)) {
                    findings.add(file, format!("{key} names {uid:?}, and there is no such data source"));
                }
            }
            if let Some(text) = value.as_str().filter(|text| text.replace("$$", "").contains('$')) {
                findings.add(file, format!("Grafana would replace the `$` in {text:?}: write `$$`"));
            }
        });
    }
    uids
}

/// Checks that every named data source and dashboard exists.
fn check_names(
    file: &str,
    document: &Value,
    sources: &BTreeSet<String>,
    boards: &BTreeSet<&str>,
    findings: &mut Findings,
) {
    visit(document, &mut |value| {
        let uid = value["datasource"]["uid"].as_str();
        if let Some(uid) = uid.filter(|uid| *uid != BUILT_IN && !sources.contains(*uid)) {
            findings.add(file, format!("there is no data source {uid:?}"));
        }
        let linked = value["url"].as_str().and_then(|url| url.strip_prefix("/d/"));
        if let Some(uid) = linked.and_then(|path| path.split(['?', '/']).next())
            && !boards.contains(uid)
        {
            findings.add(file, format!("a link leads to the dashboard {uid:?}, which does not exist"));
        }
    });
}

/// Checks that every panel has a description, a query and its own place.
fn check_panels(file: &str, board: &Value, findings: &mut Findings) {
    let mut taken: BTreeMap<(u64, u64), &str> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for panel in list(board, "panels") {
        let title = panel["title"].as_str().unwrap_or_default();
        let mut wrong = |what: String| findings.add(file, format!("the panel {title:?} {what}"));
        if !ids.insert(panel["id"].as_u64()) {
            wrong("has no id of its own".into());
        }
        if panel["type"] != "row" {
            if panel["description"].as_str().is_none_or(str::is_empty) {
                wrong("has no description".into());
            }
            if panel["datasource"]["uid"].as_str().is_none() {
                wrong("has no data source".into());
            }
            let refs: Vec<_> = list(panel, "targets").map(|target| target["refId"].as_str()).collect();
            if refs.is_empty() || refs.iter().collect::<BTreeSet<_>>().len() < refs.len() {
                wrong("has no query, or two of one name".into());
            }
        }
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap_or_default();
        let (x, y, w, h) = (place("x"), place("y"), place("w"), place("h"));
        if w == 0 || h == 0 || x + w > 24 {
            wrong("does not fit into the 24 columns".into());
        }
        for cell in (y..y + h).flat_map(|y| (x..x + w).map(move |x| (x, y))) {
            if let Some(other) = taken.insert(cell, title) {
                wrong(format!("overlaps {other:?}"));
                break;
            }
        }
    }
}
