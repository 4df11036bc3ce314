use super::*;
use crate::metrics::{Durations, Label, Registry, counter, gauge};

const START: Duration = Duration::from_secs(100);

fn take(points: &mut Points, registry: &Registry, seconds: u64) -> Vec<v1::Metric> {
    points.take(&registry.gather(), &registry.remembering(), Duration::from_secs(seconds))
}

fn histogram(metrics: &[v1::Metric]) -> &HistogramDataPoint {
    let Some(metric::Data::Histogram(histogram)) = &metrics[0].data else { panic!("{metrics:?}") };
    &histogram.data_points[0]
}

fn measured() -> (Registry, Durations<2>) {
    let registry = Registry::new();
    let labels = [Label::closed("method", &["GET"]), Label::closed("status", &["200"])];
    let durations = Durations::register(&registry, ("http_request_duration_seconds", "Help."), labels);
    let durations = durations.unwrap();
    durations.observe(["GET", "200"], Duration::from_micros(700));
    durations.observe(["GET", "200"], Duration::from_secs(20));
    (registry, durations)
}

#[test]
fn a_duration_has_the_names_units_and_types_of_the_conventions() {
    let (registry, _durations) = measured();
    let metrics = take(&mut Points::new(false, START), &registry, 160);
    assert_eq!((metrics[0].name.as_str(), metrics[0].unit.as_str()), ("http.server.request.duration", "s"));
    let point = histogram(&metrics);
    assert_eq!((point.count, point.sum), (2, Some(20.0007)));
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert_eq!((point.bucket_counts[0], point.bucket_counts[1]), (0, 1), "0.0005 < 0.0007 <= 0.001");
    assert_eq!(point.bucket_counts.last(), Some(&1));
    let keys: Vec<_> = point.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    assert_eq!(keys, ["http.request.method", "http.response.status_code"]);
    let status = point.attributes[1].value.clone().unwrap().value;
    assert_eq!(status, Some(any_value::Value::IntValue(200)));
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (100_000_000_000, 160_000_000_000));
}

#[test]
fn cumulative_values_count_from_the_start() {
    let (registry, durations) = measured();
    let mut points = Points::new(false, START);
    take(&mut points, &registry, 160);
    durations.observe(["GET", "200"], Duration::from_micros(700));
    let metrics = take(&mut points, &registry, 220);
    let point = histogram(&metrics);
    assert_eq!((point.count, point.start_time_unix_nano), (3, 100_000_000_000));
}

#[test]
fn deltas_count_from_the_export_before() {
    let (registry, durations) = measured();
    let orders = counter(&registry, "orders_created_total", "Help.").unwrap();
    let open = gauge(&registry, "orders_open", "Help.").unwrap();
    orders.inc_by(5);
    open.set(7);
    let mut points = Points::new(true, START);
    take(&mut points, &registry, 160);
    durations.observe(["GET", "200"], Duration::from_micros(700));
    orders.inc();
    let metrics = take(&mut points, &registry, 220);
    let point = histogram(&metrics);
    assert_eq!((point.count, point.bucket_counts[1], point.start_time_unix_nano), (1, 1, 160_000_000_000));
    let Some(metric::Data::Sum(sum)) = &metrics[1].data else { panic!("{metrics:?}") };
    assert_eq!(metrics[1].name, "orders_created");
    assert!(sum.is_monotonic && sum.aggregation_temporality() == AggregationTemporality::Delta);
    assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsDouble(1.0)));
    let Some(metric::Data::Gauge(gauge)) = &metrics[2].data else { panic!("{metrics:?}") };
    assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsDouble(7.0)));
}

#[test]
fn a_gauge_that_is_an_up_down_counter_by_convention_is_a_sum() {
    let registry = Registry::new();
    gauge(&registry, "http_server_active_requests", "Help.").unwrap().set(3);
    let metrics = take(&mut Points::new(true, START), &registry, 160);
    let Some(metric::Data::Sum(sum)) = &metrics[0].data else { panic!("{metrics:?}") };
    assert!(!sum.is_monotonic && sum.aggregation_temporality() == AggregationTemporality::Cumulative);
    let point = &sum.data_points[0];
    assert_eq!(point.value, Some(number_data_point::Value::AsDouble(3.0)));
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (100_000_000_000, 160_000_000_000));
}
