use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample};
use proptest::prelude::*;

use super::*;

fn read(values: &[(&str, &str)]) -> Otel {
    let mut variables = Variables::default();
    for (name, value) in values {
        variables.set(name, value);
    }
    Otel::read(&variables, std::iter::empty())
}

fn urls(export: &Option<Export>) -> Vec<String> {
    export.as_ref().unwrap().destinations.iter().map(ToString::to_string).collect()
}

#[test]
fn the_defaults_are_spans_to_the_local_receiver() {
    let otel = read(&[]);
    assert_eq!(urls(&otel.traces), ["http://localhost:4318/v1/traces"]);
    assert!(otel.logs.is_none() && otel.metrics.is_none());
    let traces = otel.traces.unwrap();
    assert_eq!((traces.delay, traces.queue, traces.batch), (Duration::from_secs(1), 8192, 512));
    assert_eq!(otel.warnings, [] as [&str; 0]);
}

#[test]
fn an_empty_value_is_an_unset_one() {
    let all: Vec<_> = Variables::NAMES.iter().map(|name| (*name, "")).collect();
    let otel = read(&all);
    assert_eq!(otel.warnings, [] as [&str; 0]);
    assert_eq!(format!("{otel:?}"), format!("{:?}", read(&[])));
}

#[test]
fn values_are_read_without_regard_to_case() {
    let otel = read(&[
        ("OTEL_LOGS_EXPORTER", "OTLP"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
        ("OTEL_TRACES_SAMPLER", "Always_Off"),
        ("OTEL_PROPAGATORS", "TraceContext"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/Protobuf"),
    ]);
    assert!(otel.logs.unwrap().has_gzip && matches!(otel.sampler, Sampler::AlwaysOff));
    assert_eq!(otel.propagators, Propagators { trace_context: true, baggage: false });
    assert_eq!(otel.warnings, [] as [&str; 0]);
}

#[test]
fn an_unsupported_value_is_warned_of_and_the_default_holds() {
    for (name, value) in [
        ("OTEL_TRACES_EXPORTER", "otlp,console"),
        ("OTEL_LOGS_EXPORTER", "console"),
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "oops"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "sometimes"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("OTEL_PROPAGATORS", "b3"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team"),
        ("OTEL_SDK_DISABLED", "yes"),
    ] {
        let otel = read(&[(name, value)]);
        let [warning] = &otel.warnings[..] else { panic!("{name}={value}: {:?}", otel.warnings) };
        assert!(warning.starts_with(&format!("{name} ")) && !warning.contains("s3cret"), "{warning}");
        let Otel { warnings: _, propagators: _, .. } = &otel;
        assert_eq!(urls(&otel.traces), ["http://localhost:4318/v1/traces"], "{name}={value}");
    }
}

#[test]
fn a_variable_that_is_not_supported_is_warned_of_by_name() {
    let names =
        ["OTEL_EXPORTER_ZIPKIN_ENDPOINT", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_SPAN_LINK_COUNT_LIMIT", "PATH"];
    let otel = Otel::read(&Variables::default(), names.map(str::to_owned).into_iter());
    assert_eq!(otel.warnings, ["OTEL_EXPORTER_ZIPKIN_ENDPOINT is not supported, and is ignored"]);
}

#[test]
fn a_disabled_sdk_exports_nothing() {
    let otel = read(&[("OTEL_SDK_DISABLED", "true"), ("OTEL_LOGS_EXPORTER", "otlp")]);
    assert!(otel.is_disabled && otel.traces.is_none() && otel.logs.is_none() && otel.metrics.is_none());
}

#[test]
fn the_variables_of_a_signal_come_before_the_common_ones() {
    let otel = read(&[
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://base:4318/"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a:1/in, https://b/v1/traces"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-scope-orgid=all"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "Authorization=Bearer%20s3cret, x-scope-orgid=shop"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "300"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "400"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
    ]);
    assert_eq!(urls(&otel.traces), ["http://a:1/in", "https://b/v1/traces"]);
    assert_eq!(urls(&otel.logs), ["http://base:4318/v1/logs"]);
    let (traces, logs) = (otel.traces.unwrap(), otel.logs.unwrap());
    assert_eq!(
        (&traces.headers["authorization"], &traces.headers["x-scope-orgid"]),
        (&"Bearer s3cret".parse().unwrap(), &"shop".parse().unwrap())
    );
    assert!(!format!("{traces:?}").contains("s3cret"));
    assert_eq!(logs.headers["x-scope-orgid"], "all");
    assert_eq!((traces.timeout.as_millis(), logs.timeout.as_millis()), (400, 300));
    assert_eq!((traces.has_gzip, logs.has_gzip), (false, true));
}

#[test]
fn resource_attributes_are_decoded() {
    let otel = read(&[("OTEL_RESOURCE_ATTRIBUTES", "team=a%2Cb%20c, tier = 1")]);
    let expected =
        [("team", "a,b c"), ("tier", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(otel.resource_attributes, BTreeMap::from(expected));
}

/// True if a span of this trace is recorded, below a parent that is remote or not, sampled or not.
fn is_sampled(sampler: &Sampler, trace: [u8; 16], parent: Option<(bool, bool)>) -> bool {
    let trace = TraceId::from_bytes(trace);
    let parent = parent.map(|(is_remote, is_sampled)| {
        let flags = if is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let span = SpanContext::new(trace, SpanId::from_bytes([1; 8]), flags, is_remote, TraceState::NONE);
        Context::new().with_remote_span_context(span)
    });
    let result = sampler.should_sample(parent.as_ref(), trace, "name", &SpanKind::Server, &[], &[]);
    result.decision == SamplingDecision::RecordAndSample
}

proptest! {
    #[test]
    fn samplers_decide_as_those_of_the_sdk(
        trace in any::<[u8; 16]>(),
        parent in any::<Option<(bool, bool)>>(),
        share in 0.0..=1.0,
    ) {
        let below = |root| Sampler::ParentBased(Box::new(root));
        let text = format!("{share}");
        for (name, expected) in [
            ("always_on", Sampler::AlwaysOn),
            ("always_off", Sampler::AlwaysOff),
            ("traceidratio", Sampler::TraceIdRatioBased(share)),
            ("parentbased_always_on", below(Sampler::AlwaysOn)),
            ("parentbased_always_off", below(Sampler::AlwaysOff)),
            ("parentbased_traceidratio", below(Sampler::TraceIdRatioBased(share))),
        ] {
            let otel = read(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", &text)]);
            prop_assert_eq!(otel.warnings.len(), 0);
            let decided = |sampler: &Sampler| is_sampled(sampler, trace, parent);
            prop_assert_eq!(decided(&otel.sampler), decided(&expected), "{}", name);
        }
    }
}
