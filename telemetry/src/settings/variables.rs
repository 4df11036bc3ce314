//! The `OTEL_*` variables that are supported, as text.
//!
//! Their values are kept unparsed: the specification wants an empty value to count as unset, and an unknown one to be
//! warned of and replaced by the default, which `otel.rs` does.

use secrecy::{ExposeSecret, SecretString};

macro_rules! variables {
    ($($(#[doc = $doc:literal])+ $field:ident = $name:literal: $type:ty;)+) => {
        /// The standard variables of OpenTelemetry, as they were given.
        #[derive(Clone, Debug, Default)]
        #[cfg_attr(feature = "clap", derive(clap::Args))]
        pub struct Variables {
            $(
                $(#[doc = $doc])+
                #[cfg_attr(feature = "clap", arg(long, env, hide_env_values = true))]
                pub $field: Option<$type>,
            )+
        }

        impl Variables {
            /// The names of all of them.
            pub(super) const NAMES: &[&str] = &[$($name),+];

            /// The variables of this process's environment.
            #[expect(clippy::disallowed_methods, reason = "the settings struct reads its variables")]
            pub fn from_env() -> Self {
                Self { $($field: std::env::var($name).ok().map(Into::into)),+ }
            }

            #[cfg(test)]
            pub(super) fn set(&mut self, name: &str, value: &str) {
                match name {
                    $($name => self.$field = Some(value.to_owned().into()),)+
                    _ => panic!("{name} is not supported"),
                }
            }

            /// The value of a variable, without the space around it; an empty one counts as unset.
            pub(super) fn get(&self, name: &str) -> Option<&str> {
                let value = match name {
                    $($name => self.$field.as_ref().map(Text::text),)+
                    _ => None,
                };
                value.map(str::trim).filter(|value| !value.is_empty())
            }
        }
    };
}

trait Text {
    fn text(&self) -> &str;
}

impl Text for String {
    fn text(&self) -> &str {
        self
    }
}

impl Text for SecretString {
    fn text(&self) -> &str {
        self.expose_secret()
    }
}

variables! {
    /// `true` sends nothing over OTLP and records no span; propagation still works.
    otel_sdk_disabled = "OTEL_SDK_DISABLED": String;
    /// `service.name` of every signal, in place of the name in the code.
    otel_service_name = "OTEL_SERVICE_NAME": String;
    /// Attributes of the resource, `name=value,name=value`, percent-encoded.
    otel_resource_attributes = "OTEL_RESOURCE_ATTRIBUTES": String;
    /// `tracecontext`, `baggage`, both with a comma between them (the default), or `none`.
    otel_propagators = "OTEL_PROPAGATORS": String;
    /// `otlp` sends spans (the default), `none` records none.
    otel_traces_exporter = "OTEL_TRACES_EXPORTER": String;
    /// `otlp` sends log lines, too; `none` is the default.
    otel_logs_exporter = "OTEL_LOGS_EXPORTER": String;
    /// `otlp` sends metrics, too; `none` is the default.
    otel_metrics_exporter = "OTEL_METRICS_EXPORTER": String;
    /// Which traces are recorded.
    otel_traces_sampler = "OTEL_TRACES_SAMPLER": String;
    /// Share of traces that a `traceidratio` sampler records, 0 to 1.
    otel_traces_sampler_arg = "OTEL_TRACES_SAMPLER_ARG": String;
    /// Base URL of the OTLP/HTTP receiver, http:// or https://.
    otel_exporter_otlp_endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT": String;
    /// Where spans go instead: one URL, or several with commas between them, each of which gets all.
    otel_exporter_otlp_traces_endpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": String;
    /// Where log lines go instead, likewise.
    otel_exporter_otlp_logs_endpoint = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": String;
    /// Where metrics go instead, likewise.
    otel_exporter_otlp_metrics_endpoint = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": String;
    /// Headers of every request, `name=value,name=value`, percent-encoded.
    otel_exporter_otlp_headers = "OTEL_EXPORTER_OTLP_HEADERS": SecretString;
    /// Headers of requests with spans instead.
    otel_exporter_otlp_traces_headers = "OTEL_EXPORTER_OTLP_TRACES_HEADERS": SecretString;
    /// Headers of requests with log lines instead.
    otel_exporter_otlp_logs_headers = "OTEL_EXPORTER_OTLP_LOGS_HEADERS": SecretString;
    /// Headers of requests with metrics instead.
    otel_exporter_otlp_metrics_headers = "OTEL_EXPORTER_OTLP_METRICS_HEADERS": SecretString;
    /// `gzip` or `none` (the default).
    otel_exporter_otlp_compression = "OTEL_EXPORTER_OTLP_COMPRESSION": String;
    /// The same for spans.
    otel_exporter_otlp_traces_compression = "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": String;
    /// The same for log lines.
    otel_exporter_otlp_logs_compression = "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": String;
    /// The same for metrics.
    otel_exporter_otlp_metrics_compression = "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": String;
    /// Longest time for one attempt to deliver a request, in milliseconds.
    otel_exporter_otlp_timeout = "OTEL_EXPORTER_OTLP_TIMEOUT": String;
    /// The same for spans.
    otel_exporter_otlp_traces_timeout = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": String;
    /// The same for log lines.
    otel_exporter_otlp_logs_timeout = "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": String;
    /// The same for metrics.
    otel_exporter_otlp_metrics_timeout = "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": String;
    /// `http/protobuf`; no other protocol is supported.
    otel_exporter_otlp_protocol = "OTEL_EXPORTER_OTLP_PROTOCOL": String;
    /// The same for spans.
    otel_exporter_otlp_traces_protocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": String;
    /// The same for log lines.
    otel_exporter_otlp_logs_protocol = "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": String;
    /// The same for metrics.
    otel_exporter_otlp_metrics_protocol = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": String;
    /// `cumulative` (the default), `delta`, or `lowmemory`, which is delta for counters and histograms.
    otel_exporter_otlp_metrics_temporality_preference = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": String;
    /// Time between two exports of metrics, in milliseconds.
    otel_metric_export_interval = "OTEL_METRIC_EXPORT_INTERVAL": String;
    /// Longest wait before a request with spans leaves, in milliseconds.
    otel_bsp_schedule_delay = "OTEL_BSP_SCHEDULE_DELAY": String;
    /// Spans that may wait in memory; more are dropped and counted.
    otel_bsp_max_queue_size = "OTEL_BSP_MAX_QUEUE_SIZE": String;
    /// Spans in one request.
    otel_bsp_max_export_batch_size = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": String;
    /// Longest wait before a request with log lines leaves, in milliseconds.
    otel_blrp_schedule_delay = "OTEL_BLRP_SCHEDULE_DELAY": String;
    /// Log lines for OTLP that may wait in memory; more are dropped and counted.
    otel_blrp_max_queue_size = "OTEL_BLRP_MAX_QUEUE_SIZE": String;
    /// Log lines in one request.
    otel_blrp_max_export_batch_size = "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": String;
}
