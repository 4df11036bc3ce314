//! Reads the files of the registry, and resolves their references.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    format::{self, Group, Instrument, Kind, Level},
    model::{Attribute, Entry, Event, Metric, Registry, SpanType, Use},
};

/// The file with the public attributes that ours refer to.
pub const CONVENTIONS: &str = "docs/telemetry/conventions.yaml";
/// The folder of the registry.
pub const FOLDER: &str = "docs/telemetry/registry/";
/// Describes the registry to Weaver, and defines nothing.
const MANIFEST: &str = "manifest.yaml";

/// A mistake in the registry: the file, and the entry with its problem.
pub type Mistake = (String, String);

/// Reads files by their paths. What is wrong is returned beside what could be read.
pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a Value)>) -> (Registry, Vec<Mistake>) {
    let mut reader = Reader::default();
    for (file, value) in files.into_iter().filter(|(file, _)| !file.ends_with(MANIFEST)) {
        reader.file(file, value);
    }
    reader.resolve()
}

#[derive(Default)]
struct Reader {
    groups: Vec<(String, Group)>,
    registry: Registry,
    mistakes: Vec<Mistake>,
}

impl Reader {
    fn wrong(&mut self, file: &str, id: &str, problem: impl AsRef<str>) {
        self.mistakes.push((file.to_owned(), format!("{id} {}", problem.as_ref())));
    }

    fn file(&mut self, file: &str, value: &Value) {
        let Some(groups) = value["groups"].as_array() else {
            return self.wrong(file, "the file", "has no `groups`");
        };
        for group in groups {
            let id = group["id"].as_str().unwrap_or("a group");
            match serde_json::from_value::<Group>(group.clone()) {
                Ok(group) if self.groups.iter().any(|(_, other)| other.id == group.id) => {
                    self.wrong(file, id, "is defined twice");
                }
                Ok(group) => {
                    self.define(file, &group);
                    self.groups.push((file.to_owned(), group));
                }
                Err(error) => self.wrong(file, id, format!("cannot be read: {error}")),
            }
        }
    }

    /// Adds the attributes that a group defines.
    fn define(&mut self, file: &str, group: &Group) {
        for attribute in &group.attributes {
            match (&attribute.id, &attribute.used, attribute.kind) {
                (None, Some(_), None) => {}
                (Some(key), None, Some(kind)) => {
                    let defined = Attribute {
                        key: key.clone(),
                        kind,
                        brief: attribute.brief.clone().unwrap_or_default(),
                        values: attribute.annotations.values.clone(),
                        group: group.id.clone(),
                    };
                    if self.registry.attributes.insert(key.clone(), defined).is_some() {
                        self.wrong(file, &group.id, format!("defines {key}, which is defined elsewhere"));
                    }
                }
                _ => {
                    self.wrong(file, &group.id, "has an attribute without `ref`, or without `id` and `type`")
                }
            }
        }
    }

    fn resolve(mut self) -> (Registry, Vec<Mistake>) {
        let groups = std::mem::take(&mut self.groups);
        for (file, group) in &groups {
            let uses = self.uses(file, group, &groups);
            if group.kind != Kind::AttributeGroup && group.stability.is_none() {
                self.wrong(file, &group.id, "has no `stability`");
            }
            let entry = Entry {
                id: group.id.clone(),
                brief: group.brief.trim().to_owned(),
                services: group.annotations.services.clone(),
                uses,
            };
            match group.kind {
                Kind::AttributeGroup => {}
                Kind::Entity => self.registry.resource = Some(entry),
                Kind::Event => self.event(file, group, entry),
                Kind::Metric => self.metric(file, group, entry),
                Kind::Span => self.span(file, group, entry),
            }
        }
        (self.registry, self.mistakes)
    }

    /// The attributes of a group: those that it extends, then its own, which come first where both name one.
    fn uses(&mut self, file: &str, group: &Group, groups: &[(String, Group)]) -> Vec<Use> {
        let mut named: BTreeMap<&str, &format::Attribute> = BTreeMap::new();
        let (mut next, mut seen) = (Some(group), BTreeSet::new());
        while let Some(current) = next {
            for attribute in &current.attributes {
                if let Some(key) = &attribute.used {
                    named.entry(key).or_insert(attribute);
                }
            }
            next = current.extends.as_ref().and_then(|wanted| {
                let found = groups.iter().find(|(_, other)| other.id == *wanted).map(|(_, other)| other);
                if found.is_none() || !seen.insert(wanted) {
                    self.wrong(file, &group.id, format!("extends {wanted}, which does not exist"));
                    return None;
                }
                found
            });
        }
        let mut uses = Vec::new();
        for (key, attribute) in named {
            let Some(defined) = self.registry.attributes.get(key) else {
                self.wrong(file, &group.id, format!("refers to {key}, which is not defined"));
                continue;
            };
            let own = &attribute.annotations.values;
            uses.push(Use {
                key: key.to_owned(),
                kind: defined.kind,
                level: attribute.requirement_level.clone().unwrap_or(Level::Recommended),
                brief: attribute.brief.clone(),
                values: if own.is_empty() { defined.values.clone() } else { own.clone() },
            });
        }
        uses
    }

    fn event(&mut self, file: &str, group: &Group, entry: Entry) {
        let Some(message) = group.annotations.message.clone().filter(|_| group.name.is_some()) else {
            return self.wrong(file, &group.id, "has no `name` or no `message`");
        };
        if group.annotations.levels.is_empty() {
            self.wrong(file, &group.id, "has no `levels`");
        }
        if let Some(other) = self.registry.events.iter().find(|other| other.message == message) {
            let other = other.entry.id.clone();
            self.wrong(file, &group.id, format!("has the message of {other}"));
        }
        self.registry.events.push(Event { entry, message, levels: group.annotations.levels.clone() });
    }

    fn span(&mut self, file: &str, group: &Group, entry: Entry) {
        let Some(kind) = group.span_kind.clone().filter(|_| !group.annotations.names.is_empty()) else {
            return self.wrong(file, &group.id, "has no `span_kind` or no `names`");
        };
        let names = group.annotations.names.clone();
        for key in
            names.iter().flat_map(|name| name.split('{').skip(1)).filter_map(|rest| rest.split('}').next())
        {
            if !entry.uses.iter().any(|used| used.key == key) {
                self.wrong(file, &group.id, format!("is named by {key}, which it does not have"));
            }
        }
        self.registry.spans.push(SpanType { entry, kind, names });
    }

    fn metric(&mut self, file: &str, group: &Group, entry: Entry) {
        let (Some(name), Some(instrument), Some(unit)) =
            (group.metric_name.clone(), group.instrument, group.unit.clone())
        else {
            return self.wrong(file, &group.id, "has no `metric_name`, no `instrument` or no `unit`");
        };
        let prometheus = &group.annotations.prometheus;
        let end = ending(instrument, &unit);
        let page_name = prometheus.name.clone().unwrap_or_else(|| name.replace('.', "_") + &end);
        if ENDINGS.iter().any(|other| page_name.ends_with(other) && !end.ends_with(other))
            || !page_name.ends_with(&end)
        {
            let problem =
                format!("has the unit {unit:?} and the instrument {instrument:?}, and {page_name} has not");
            self.wrong(file, &group.id, problem);
        }
        let mut labels = BTreeMap::new();
        for used in entry.uses.iter().filter(|used| !prometheus.implied.contains(&used.key)) {
            let label =
                prometheus.labels.get(&used.key).cloned().unwrap_or_else(|| used.key.replace('.', "_"));
            labels.insert(label, used.clone());
        }
        for key in prometheus.labels.keys().chain(&prometheus.implied) {
            if !entry.uses.iter().any(|used| used.key == *key) {
                self.wrong(file, &group.id, format!("has a label for {key}, which it does not have"));
            }
        }
        let is_taken = |other: &&Metric| other.name == name || other.page_name == page_name;
        if let Some(other) = self.registry.metrics.iter().find(is_taken) {
            let other = other.entry.id.clone();
            self.wrong(file, &group.id, format!("has the name of {other}"));
        }
        self.registry.metrics.push(Metric { entry, name, page_name, instrument, unit, labels });
    }
}

/// The endings by which Prometheus tells unit and instrument.
const ENDINGS: [&str; 4] = ["_total", "_seconds", "_bytes", "_ratio"];

/// The ending of a name on `/metrics`.
fn ending(instrument: Instrument, unit: &str) -> String {
    let unit = match unit {
        "s" => "_seconds",
        "By" => "_bytes",
        "1" => "_ratio",
        _ => "",
    };
    let total = if instrument == Instrument::Counter { "_total" } else { "" };
    [unit, total].concat()
}
