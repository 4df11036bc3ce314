//! A trace drawn as a tree of spans with start and duration.

use std::collections::BTreeSet;

use super::{Span, Trace};
use crate::style::{self, Style};

/// The least width of names; on a narrower terminal the lines wrap.
const MIN_NAME: usize = 24;
/// The width after a name: two spaces and a column, three times.
const COLUMNS: usize = 2 + 8 + 2 + 8 + 2 + 8;

struct Row<'a> {
    lines: String,
    span: &'a Span,
}

impl Trace {
    /// The tree as text; `width` is that of the terminal, if any.
    pub fn tree(&self, style: Style, width: Option<usize>) -> String {
        let mut rows = Vec::new();
        let known: BTreeSet<&str> = self.spans.iter().map(|span| span.id.as_str()).collect();
        let is_root = |span: &&Span| span.parent.as_deref().is_none_or(|parent| !known.contains(parent));
        for root in self.spans.iter().filter(is_root) {
            self.grow(root, "", "", &mut rows);
        }
        let service = rows.iter().map(|row| row.span.service.chars().count()).max().unwrap_or_default();
        let wanted = rows.iter().map(Row::width).max().unwrap_or_default();
        let room =
            width.map_or(usize::MAX, |width| width.saturating_sub(service + 2 + COLUMNS).max(MIN_NAME));
        let name = wanted.min(room);

        let services = self.services().len();
        let took = style::duration(self.duration());
        let mut text =
            format!("trace {} · {} spans · {services} services · {took}\n", self.id, self.spans.len());
        let heads = format!("{:service$}  {:name$}  {:8}  {:>8}  {:>8}", "", "", "", "start", "took");
        text.push_str(&style.dim(&heads));
        text.push('\n');
        for row in rows {
            text.push_str(&row.draw(self, style, service, name));
            text.push('\n');
        }
        text
    }

    fn grow<'a>(&'a self, span: &'a Span, own: &str, below: &str, rows: &mut Vec<Row<'a>>) {
        rows.push(Row { lines: own.to_owned(), span });
        let children: Vec<&Span> =
            self.spans.iter().filter(|child| child.parent.as_deref() == Some(&span.id)).collect();
        for (index, child) in children.iter().enumerate() {
            let (corner, trunk) =
                if index + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.grow(child, &format!("{below}{corner}"), &format!("{below}{trunk}"), rows);
        }
    }
}

impl Row<'_> {
    fn width(&self) -> usize {
        self.lines.chars().count() + self.span.name.chars().count()
    }

    fn draw(&self, trace: &Trace, style: Style, service: usize, name: usize) -> String {
        let Self { lines, span } = self;
        let room = name.saturating_sub(lines.chars().count());
        let called = format!("{:room$}", shorten(&span.name, room));
        let started = style::duration(span.start.saturating_sub(trace.start()));
        let mut text = format!(
            "{}  {}{}  {:8}  {started:>8}  {:>8}",
            style.service(&format!("{:service$}", span.service), &span.service),
            style.dim(lines),
            if span.error.is_some() { style.bad(&called) } else { called },
            span.kind,
            style::duration(span.duration),
        );
        if let Some(error) = &span.error {
            text.push_str(&style.bad(format!("  ✗ {error}").trim_end()));
        }
        text
    }
}

fn shorten(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn span(id: &str, parent: &str, named: (&str, &str, &str), start: u64, took: u64) -> Span {
        let (service, kind, name) = named;
        let parent = (!parent.is_empty()).then(|| parent.to_owned());
        let [id, service, kind, name] = [id, service, kind, name].map(str::to_owned);
        let [start, duration] = [1_000_000 + start, took].map(Duration::from_millis);
        Span { id, parent, service, name, kind, start, duration, ..Span::default() }
    }

    fn order() -> Trace {
        let [create, call, process, publish, consume, send] = crate::trace::ORDER;
        let mut failed = span("7", "3", ("payment-service", "internal", "insert"), 3, 1);
        failed.error = Some("database is locked".into());
        let spans = vec![
            span("1", "", create, 0, 512),
            span("2", "1", call, 1, 510),
            span("3", "2", process, 2, 507),
            failed,
            span("4", "3", publish, 509, 6),
            span("5", "4", consume, 515, 3),
            span("6", "5", send, 520, 802),
        ];
        Trace { id: "4f0c".repeat(8), spans }
    }

    #[test]
    fn an_order_is_drawn_as_one_tree() {
        let tree = "\
trace 4f0c4f0c4f0c4f0c4f0c4f0c4f0c4f0c · 7 spans · 3 services · 1.32 s
                                                                                              start      took
order-gateway    POST /create-order                                              server        0 ms    512 ms
order-gateway    └─ POST /process-payment                                        client        1 ms    510 ms
payment-service     └─ POST /process-payment                                     server        2 ms    507 ms
payment-service        ├─ insert                                                 internal      3 ms      1 ms  ✗ database is locked
payment-service        └─ publish checkout:payment.succeeded                     producer    509 ms      6 ms
email-service             └─ process checkout:payment.succeeded:mailer.payments  consumer    515 ms      3 ms
email-service                └─ send email                                       client      520 ms    802 ms
";
        assert_eq!(order().tree(Style::PLAIN, None), tree);
    }

    #[test]
    fn names_are_shortened_on_a_narrow_terminal() {
        let tree = order().tree(Style::PLAIN, Some(90));
        assert!(
            tree.contains(
                "email-service             └─ process checkout:payment.succe…  consumer    515 ms      3 ms\n"
            ),
            "{tree}"
        );
        assert!(
            tree.lines().filter(|line| !line.contains('✗')).all(|line| line.chars().count() <= 90),
            "{tree}"
        );
    }

    #[test]
    fn an_orphan_is_drawn_as_a_root() {
        let mut trace = order();
        trace.spans.remove(0);
        assert!(trace.tree(Style::PLAIN, None).contains("order-gateway    POST /process-payment"));
    }
}
