//! What the `OTEL_*` variables mean.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Uri;
use http::header::HeaderMap;
use opentelemetry_sdk::trace::Sampler;

use super::reader::Reader;
use super::variables::Variables;
use crate::propagation::Propagators;

const DEFAULT_ENDPOINT: &str = "http://localhost:4318";
/// Variables that the SDK reads by itself.
const READ_BY_SDK: [&str; 3] =
    ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT"];

const BOOLEANS: &[(&str, bool)] = &[("true", true), ("false", false)];
const COMPRESSIONS: &[(&str, bool)] = &[("gzip", true), ("none", false)];
const EXPORTERS: &[(&str, bool)] = &[("otlp", true), ("none", false)];
const PROTOCOLS: &[(&str, ())] = &[("http/protobuf", ())];
/// Whether counters and histograms are sent as deltas.
const TEMPORALITIES: &[(&str, bool)] = &[("cumulative", false), ("delta", true), ("lowmemory", true)];
/// Whether the decision of a parent holds, and what decides for a root.
const SAMPLERS: &[(&str, (bool, Root))] = &[
    ("parentbased_always_on", (true, Root::On)),
    ("parentbased_always_off", (true, Root::Off)),
    ("parentbased_traceidratio", (true, Root::Share)),
    ("always_on", (false, Root::On)),
    ("always_off", (false, Root::Off)),
    ("traceidratio", (false, Root::Share)),
];

#[derive(Clone, Copy)]
enum Root {
    On,
    Off,
    Share,
}

/// The settings of OpenTelemetry for this process.
#[derive(Debug)]
pub(crate) struct Otel {
    /// Propagation alone: no span, record or data point is made.
    pub(crate) is_disabled: bool,
    pub(crate) service_name: Option<String>,
    /// Attributes of the resource, decoded.
    pub(crate) resource_attributes: BTreeMap<String, String>,
    pub(crate) propagators: Propagators,
    pub(crate) sampler: Sampler,
    /// Where spans go; `None` records none.
    pub(crate) traces: Option<Export>,
    /// Where log records go, if anywhere.
    pub(crate) logs: Option<Export>,
    /// Where metrics go, if anywhere.
    pub(crate) metrics: Option<Export>,
    /// Whether counters and histograms are sent as deltas.
    pub(crate) is_delta: bool,
    /// A sentence for each value that is not supported, with the variable's name.
    pub(crate) warnings: Vec<String>,
}

/// How one signal leaves over OTLP/HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    /// `traces`, `logs` or `metrics`, for metrics and directories.
    pub(crate) signal: &'static str,
    /// Each of them gets all.
    pub(crate) destinations: Vec<Uri>,
    pub(crate) headers: HeaderMap,
    pub(crate) has_gzip: bool,
    /// Of one attempt to deliver a request.
    pub(crate) timeout: Duration,
    /// Items that may wait in memory.
    pub(crate) queue: usize,
    /// Items in one request.
    pub(crate) batch: usize,
    /// Longest wait for a request to fill.
    pub(crate) delay: Duration,
    /// Time between two exports; metrics alone have it.
    pub(crate) interval: Duration,
}

impl Otel {
    /// Reads `variables`; `environment` are the names of all variables of the process.
    pub(crate) fn read(variables: &Variables, environment: impl Iterator<Item = String>) -> Self {
        let mut reader = Reader::new(variables);
        let is_disabled = reader.choice("OTEL_SDK_DISABLED", BOOLEANS, false);
        let export = |reader: &mut Reader<'_>, signal: &'static str, by_default: bool| {
            let exporter = format!("OTEL_{}_EXPORTER", signal.to_ascii_uppercase());
            let is_on = reader.choice(&exporter, EXPORTERS, by_default);
            (is_on && !is_disabled).then(|| Export::read(signal, reader))
        };
        Self {
            is_disabled,
            service_name: reader.text("OTEL_SERVICE_NAME").map(str::to_owned),
            resource_attributes: reader.pairs("OTEL_RESOURCE_ATTRIBUTES"),
            propagators: propagators(&mut reader),
            sampler: sampler(&mut reader),
            traces: export(&mut reader, "traces", true),
            logs: export(&mut reader, "logs", false),
            metrics: export(&mut reader, "metrics", false),
            is_delta: reader.choice(
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
                TEMPORALITIES,
                false,
            ),
            warnings: {
                let unknown = environment.filter(|name| is_unknown(name));
                reader
                    .warnings
                    .extend(unknown.map(|name| format!("{name} is not supported, and is ignored")));
                reader.warnings
            },
        }
    }
}

impl Export {
    /// The variables of `signal`, and for want of one the common one.
    fn read(signal: &'static str, reader: &mut Reader<'_>) -> Self {
        let common = |name: &str| format!("OTEL_EXPORTER_OTLP_{name}");
        let own = |name: &str| format!("OTEL_EXPORTER_OTLP_{}_{name}", signal.to_ascii_uppercase());
        let processor = match signal {
            "traces" => "OTEL_BSP",
            _ => "OTEL_BLRP",
        };
        reader.choice(&common("PROTOCOL"), PROTOCOLS, ());
        reader.choice(&own("PROTOCOL"), PROTOCOLS, ());
        let headers = reader.headers(&common("HEADERS")).unwrap_or_default();
        let has_gzip = reader.choice(&common("COMPRESSION"), COMPRESSIONS, false);
        let timeout = reader.milliseconds(&common("TIMEOUT"), Duration::from_secs(10));
        Self {
            signal,
            destinations: destinations(&common("ENDPOINT"), &own("ENDPOINT"), signal, reader),
            headers: reader.headers(&own("HEADERS")).unwrap_or(headers),
            has_gzip: reader.choice(&own("COMPRESSION"), COMPRESSIONS, has_gzip),
            timeout: reader.milliseconds(&own("TIMEOUT"), timeout),
            queue: reader.count(&format!("{processor}_MAX_QUEUE_SIZE"), 8192),
            batch: reader.count(&format!("{processor}_MAX_EXPORT_BATCH_SIZE"), 512),
            delay: reader.milliseconds(&format!("{processor}_SCHEDULE_DELAY"), Duration::from_secs(1)),
            interval: reader.milliseconds("OTEL_METRIC_EXPORT_INTERVAL", Duration::from_secs(60)),
        }
    }
}

/// By the specification the URL of a signal is taken as it is, and a path is appended to the base alone.
fn destinations(base: &str, own: &str, signal: &str, reader: &mut Reader<'_>) -> Vec<Uri> {
    let own = reader.endpoints(own);
    if !own.is_empty() {
        return own;
    }
    let base = reader.endpoints(base).into_iter().next();
    let base = base.unwrap_or_else(|| Uri::from_static(DEFAULT_ENDPOINT));
    let below = format!("{}/v1/{signal}", base.to_string().trim_end_matches('/'));
    vec![below.parse().unwrap_or(base)]
}

fn propagators(reader: &mut Reader<'_>) -> Propagators {
    let name = "OTEL_PROPAGATORS";
    let Some(value) = reader.text(name) else { return Propagators::default() };
    let mut propagators = Propagators { trace_context: false, baggage: false };
    for propagator in value.split(',').map(str::trim) {
        match propagator.to_ascii_lowercase().as_str() {
            "tracecontext" => propagators.trace_context = true,
            "baggage" => propagators.baggage = true,
            "none" => {}
            _ => reader.warn(name, "what is not tracecontext, baggage or none is left out"),
        }
    }
    propagators
}

fn sampler(reader: &mut Reader<'_>) -> Sampler {
    let (is_parent_based, root) = reader.choice("OTEL_TRACES_SAMPLER", SAMPLERS, SAMPLERS[0].1);
    let share = reader.number("OTEL_TRACES_SAMPLER_ARG", |share| (0.0..=1.0).contains(share));
    let sampler = match root {
        Root::On => Sampler::AlwaysOn,
        Root::Off => Sampler::AlwaysOff,
        Root::Share => Sampler::TraceIdRatioBased(share.unwrap_or(1.0)),
    };
    if is_parent_based { Sampler::ParentBased(Box::new(sampler)) } else { sampler }
}

fn is_unknown(name: &str) -> bool {
    name.starts_with("OTEL_") && !Variables::NAMES.contains(&name) && !READ_BY_SDK.contains(&name)
}

#[cfg(test)]
mod tests;
