//! The names and units of OpenTelemetry's semantic conventions for metrics whose names on `/metrics` are those of
//! Prometheus.

/// A metric as the conventions name it.
pub(super) struct Convention {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    /// Labels that have another name as attributes.
    pub(super) attributes: Pairs,
    /// Attributes that the name on `/metrics` implies.
    pub(super) implied: Pairs,
}

/// Names with names or values.
type Pairs = &'static [(&'static str, &'static str)];

const HTTP: Pairs =
    &[("method", "http.request.method"), ("route", "http.route"), ("status", "http.response.status_code")];
const PUBLISH: Pairs = &[("messaging.system", "rabbitmq"), ("messaging.operation.name", "publish")];
const PROCESS: Pairs = &[("messaging.system", "rabbitmq"), ("messaging.operation.name", "process")];

const fn of(name: &'static str, unit: &'static str, attributes: Pairs, implied: Pairs) -> Convention {
    Convention { name, unit, attributes, implied }
}

const CONVENTIONS: [(&str, Convention); 12] = [
    ("http_client_request_duration_seconds", of("http.client.request.duration", "s", HTTP, &[])),
    ("http_request_duration_seconds", of("http.server.request.duration", "s", HTTP, &[])),
    ("http_server_active_requests", of("http.server.active_requests", "{request}", &[], &[])),
    ("messaging_process_duration_seconds", of("messaging.process.duration", "s", &[], PROCESS)),
    ("messaging_publish_duration_seconds", of("messaging.client.operation.duration", "s", &[], PUBLISH)),
    ("messaging_published_total", of("messaging.client.sent.messages", "{message}", &[], PUBLISH)),
    ("messaging_received_total", of("messaging.client.consumed.messages", "{message}", &[], PROCESS)),
    ("process_cpu_seconds_total", of("process.cpu.time", "s", &[], &[])),
    ("process_open_fds", of("process.unix.file_descriptor.count", "{file_descriptor}", &[], &[])),
    ("process_resident_memory_bytes", of("process.memory.usage", "By", &[], &[])),
    ("process_threads", of("process.thread.count", "{thread}", &[], &[])),
    ("process_virtual_memory_bytes", of("process.memory.virtual", "By", &[], &[])),
];

/// The convention for a metric, if there is one.
pub(super) fn convention(name: &str) -> Option<&'static Convention> {
    CONVENTIONS.iter().find(|(known, _)| *known == name).map(|(_, convention)| convention)
}

/// The name without the unit and `_total`, and the unit by the Unified Code for Units of Measure.
pub(super) fn name_and_unit(name: &str) -> (&str, &'static str) {
    let name = name.strip_suffix("_total").unwrap_or(name);
    let units = [("_seconds", "s"), ("_bytes", "By"), ("_ratio", "1")];
    let named = units.into_iter().find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, unit)));
    named.unwrap_or((name, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_convention_loses_its_suffixes() {
        for (name, expected) in [
            ("orders_created_total", ("orders_created", "")),
            ("outbox_oldest_age_seconds", ("outbox_oldest_age", "s")),
            ("telemetry_spool_damaged_bytes_total", ("telemetry_spool_damaged", "By")),
            ("outbox_pending", ("outbox_pending", "")),
        ] {
            assert_eq!(name_and_unit(name), expected);
        }
    }
}
