//! What is written, letter by letter; tests/openmetrics.rs has a parser of others read it.

use std::time::Duration;

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntGaugeVec, Opts};

use crate::metrics::{Durations, Format, Label, OTHER, Registry, register};
use crate::propagation::TraceContext;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// Does `work` in a span of this trace, whose id is returned.
fn within(trace: &str, flags: &str, work: impl FnOnce()) -> String {
    let parent = format!("00-{trace}-{SPAN}-{flags}");
    let context = TraceContext::read(|name| (name == "traceparent").then(|| parent.clone()));
    let _entered = context.context().attach();
    work();
    SPAN.to_owned()
}

fn lines<'a>(page: &'a str, start: &str) -> Vec<&'a str> {
    page.lines().filter(|line| line.starts_with(start)).collect()
}

fn durations(registry: &Registry) -> Durations<1> {
    let help = "Time to do it.";
    Durations::register(registry, ("work_duration_seconds", help), [Label::closed("kind", &["good", "bad"])])
        .unwrap()
}

#[test]
fn counters_gauges_and_units_conform_to_the_specification() {
    let registry = Registry::new();
    let help = "Said \"so\",\nin a \\ way.";
    register(&registry, IntCounter::new("process_cpu_seconds_total", help).unwrap()).unwrap().inc();
    let gauge = IntGaugeVec::new(Opts::new("state", "States."), &["name"]).unwrap();
    register(&registry, gauge).unwrap().with_label_values(&["a \"b\"\n\\"]).set(-1_500_000);
    register(&registry, Gauge::new("size_bytes", "A size.").unwrap()).unwrap().set(f64::INFINITY);
    let expected = r#"# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
# HELP process_cpu_seconds Said \"so\",\nin a \\ way.
process_cpu_seconds_total 1.0
# TYPE size_bytes gauge
# UNIT size_bytes bytes
# HELP size_bytes A size.
size_bytes +Inf
# TYPE state gauge
# HELP state States.
state{name="a \"b\"\n\\"} -1.5e+06
# EOF
"#;
    assert_eq!(registry.encode(Format::OpenMetrics).unwrap(), expected);
}

#[test]
fn bounds_of_buckets_are_canonical_and_the_last_is_infinite() {
    let registry = Registry::new();
    let options = HistogramOpts::new("length", "Lengths.").buckets(vec![0.00001, 0.005, 1.0, 1_000_000.0]);
    let lengths = Histogram::with_opts(options).unwrap();
    register(&registry, lengths).unwrap().observe(0.5);
    let page = registry.encode(Format::OpenMetrics).unwrap();
    assert_eq!(
        lines(&page, "length_"),
        [
            r#"length_bucket{le="1e-05"} 0"#,
            r#"length_bucket{le="0.005"} 0"#,
            r#"length_bucket{le="1.0"} 1"#,
            r#"length_bucket{le="1e+06"} 1"#,
            r#"length_bucket{le="+Inf"} 1"#,
            "length_count 1",
            "length_sum 0.5",
        ]
    );
}

#[test]
fn a_bucket_shows_its_newest_measurement_of_a_sampled_trace() {
    let registry = Registry::new();
    let durations = durations(&registry);
    let span = within(TRACE, "01", || {
        durations.observe(["good"], Duration::from_millis(81));
        durations.observe(["good"], Duration::from_millis(82));
        durations.observe(["good"], Duration::from_secs(11));
    });
    durations.observe(["good"], Duration::from_millis(83));
    within(&"a".repeat(32), "00", || {
        durations.observe(["good"], Duration::from_millis(84));
    });
    let page = registry.encode(Format::OpenMetrics).unwrap();
    let exemplars: Vec<_> = lines(&page, "work_duration_seconds_bucket")
        .iter()
        .filter_map(|line| line.split_once(" # "))
        .collect();
    let ids = format!("{{trace_id=\"{TRACE}\",span_id=\"{span}\"}}");
    for ((series, exemplar), (expected, value)) in exemplars.iter().zip([
        (r#"work_duration_seconds_bucket{kind="good",le="0.1"} 4"#, "0.082"),
        (r#"work_duration_seconds_bucket{kind="good",le="+Inf"} 5"#, "11.0"),
    ]) {
        assert_eq!(series, &expected);
        assert!(exemplar.starts_with(&format!("{ids} {value} 1")), "{exemplar}");
    }
    assert_eq!(exemplars.len(), 2, "{page}");
    assert!(!registry.encode(Format::Text).unwrap().contains(TRACE));
}

#[test]
fn an_undeclared_label_value_is_measured_as_other() {
    let registry = Registry::new();
    let durations = durations(&registry);
    for number in 0..1000 {
        durations.observe([&format!("input {number}")], Duration::ZERO);
    }
    durations.observe(["bad"], Duration::ZERO);
    assert_eq!((durations.count([OTHER]), durations.count(["bad"])), (1000, 1));
    let page = registry.encode(Format::Text).unwrap();
    assert_eq!(lines(&page, "work_duration_seconds_count").len(), 2, "{page}");

    let works = crate::metrics::counters(&registry, ("works_total", "Works."), "kind", &["good"]).unwrap();
    for kind in ["good", "input", "more input"] {
        works.with_label_values(&[kind]).inc();
    }
    let page = registry.encode(Format::Text).unwrap();
    assert_eq!(
        lines(&page, "works_total"),
        [r#"works_total{kind="good"} 1"#, r#"works_total{kind="other"} 2"#]
    );
}

#[test]
fn an_open_label_learns_as_many_values_as_it_has_room_for() {
    let registry = Registry::new();
    let name = ("open_duration_seconds", "Time.");
    let durations = Durations::register(&registry, name, [Label::open("route", 3)]).unwrap();
    for route in ["/a", OTHER, "/b", "/c", "/d", "/a", "/e"] {
        durations.observe([route], Duration::ZERO);
    }
    let counts = ["/a", "/b", OTHER].map(|route| durations.count([route]));
    // "/c" and those after it found no room.
    assert_eq!(counts, [2, 1, 4]);
}

#[test]
fn measurements_from_many_threads_are_all_counted() {
    let registry = Registry::new();
    let durations = durations(&registry);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                within(TRACE, "01", || {
                    for _ in 0..1000 {
                        durations.observe(["good"], Duration::from_millis(81));
                    }
                });
            });
        }
        for _ in 0..50 {
            registry.encode(Format::OpenMetrics).unwrap();
        }
    });
    assert_eq!(durations.count(["good"]), 4000);
}
