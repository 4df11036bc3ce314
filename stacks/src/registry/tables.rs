//! Markdown tables of the registry, and the documents that contain them between two comments:
//! `<!-- registry: metrics order-gateway -->` and `<!-- end -->`.

use super::model::{Metric, Registry, Use};

const BEGIN: &str = "<!-- registry: ";
const CLOSE: &str = " -->\n";
const END: &str = "<!-- end -->";

/// The metrics that all services have.
const ALL: &str = "all";

/// True if a document has a table of the registry.
pub fn has_tables(document: &str) -> bool {
    document.contains(BEGIN)
}

/// A document with its tables as they should be.
///
/// # Errors
/// Names a table that does not exist, or a comment that is not closed.
pub fn with_tables(registry: &Registry, document: &str) -> Result<String, String> {
    let mut parts = document.split(BEGIN);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let split = part.split_once(CLOSE).and_then(|(name, rest)| Some((name, rest.split_once(END)?.1)));
        let (name, rest) = split.ok_or_else(|| format!("`{BEGIN}` is not followed by `{END}`"))?;
        let table = table(registry, name).ok_or_else(|| format!("the registry has no table `{name}`"))?;
        text += &[BEGIN, name, CLOSE, &table, END, rest].concat();
    }
    Ok(text)
}

fn table(registry: &Registry, name: &str) -> Option<String> {
    let text = match name.split_once(' ').unwrap_or((name, "")) {
        ("metrics", ALL) => metrics(registry, |metric| metric.entry.services.is_empty()),
        ("metrics", service) => {
            metrics(registry, |metric| metric.entry.services.first().is_some_and(|first| first == service))
        }
        ("attributes", group) => attributes(registry, group),
        ("spans", "") => spans(registry),
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

fn metrics(registry: &Registry, is_wanted: impl Fn(&Metric) -> bool) -> String {
    let (mut rows, mut values) = (String::new(), String::new());
    for metric in registry.metrics.iter().filter(|metric| is_wanted(metric)) {
        let labels: Vec<String> = metric.labels.keys().map(|label| format!("`{label}`")).collect();
        let mut notes = vec![sentence(&metric.entry.brief)];
        for (label, used) in &metric.labels {
            notes.extend(used.brief.as_ref().map(|brief| format!("`{label}`: {}", sentence(brief))));
            if has_meanings(used) {
                values += "\n";
                values += &head([&format!("`{label}` of `{}`", metric.page_name), "meaning"]);
                values
                    .extend(used.values.iter().map(|(value, meaning)| row([&format!("`{value}`"), meaning])));
            } else if registry.attributes.get(&used.key).is_some_and(|known| known.values != used.values) {
                let listed: Vec<String> = used.values.keys().map(|value| format!("`{value}`")).collect();
                notes.push(format!("`{label}`: {}", listed.join(", ")));
            }
        }
        if let [_, others @ ..] = metric.entry.services.as_slice()
            && !others.is_empty()
        {
            notes.push(format!("also of {}", others.join(", ")));
        }
        let name = format!("`{}`", metric.page_name);
        rows += &row([&name, shown(&metric.unit), &labels.join(", "), &notes.join("; ")]);
    }
    if rows.is_empty() {
        return rows;
    }
    head(["metric", "unit", "labels", "meaning"]) + &rows + &values
}

fn has_meanings(used: &Use) -> bool {
    used.values.values().any(|meaning| !meaning.is_empty())
}

fn shown(unit: &str) -> &str {
    match unit {
        "s" => "seconds",
        "By" => "bytes",
        _ => "",
    }
}

fn attributes(registry: &Registry, group: &str) -> String {
    let mut rows = String::new();
    for attribute in registry.attributes.values().filter(|attribute| attribute.group == group) {
        let has = |uses: &[Use]| uses.iter().any(|used| used.key == attribute.key);
        let places = [
            ("spans", registry.spans.iter().any(|span| has(&span.entry.uses))),
            ("lines", registry.events.iter().any(|event| has(&event.entry.uses))),
            ("metrics", registry.metrics.iter().any(|metric| has(&metric.entry.uses))),
        ];
        let places: Vec<&str> =
            places.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect();
        let mut meaning = sentence(&attribute.brief);
        if !attribute.values.is_empty() {
            let listed: Vec<String> = attribute.values.keys().map(|value| format!("`{value}`")).collect();
            meaning += &format!(": {}", listed.join(", "));
        }
        let (name, kind) = (format!("`{}`", attribute.key), format!("{:?}", attribute.kind).to_lowercase());
        rows += &row([&name, &places.join(", "), &kind, &meaning]);
    }
    if rows.is_empty() {
        return rows;
    }
    head(["attribute", "in", "type", "meaning"]) + &rows
}

fn spans(registry: &Registry) -> String {
    let rows = registry.spans.iter().map(|span| {
        let name = format!("`{}`", span.names.first().map_or("", String::as_str));
        row([&name, &span.kind, &sentence(&span.entry.brief)])
    });
    head(["span", "kind", "meaning"]) + &rows.collect::<String>()
}

fn head<const N: usize>(cells: [&str; N]) -> String {
    row(cells) + "|" + &"---|".repeat(N) + "\n"
}

fn row<const N: usize>(cells: [&str; N]) -> String {
    let cells = cells.map(|cell| if cell.is_empty() { " ".to_owned() } else { format!(" {cell} ") });
    format!("|{}|\n", cells.join("|"))
}

/// A sentence as a cell: without a full stop.
fn sentence(text: &str) -> String {
    text.trim().trim_end_matches('.').to_owned()
}
