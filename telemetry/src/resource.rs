//! The resource: what the process is, in the same words in every signal.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;

use crate::Settings;
use crate::settings::Otel;

/// A service's name and version.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// `service.name`, unless `OTEL_SERVICE_NAME` says otherwise.
    pub name: &'static str,
    /// `service.version`.
    pub version: &'static str,
}

/// The resource of all signals of `service`.
///
/// `OTEL_RESOURCE_ATTRIBUTES` wins over what is detected, and loses against the name and version in the code: another
/// name than that of the metrics and files would cut the signals apart.
pub(crate) fn resource(service: Service, settings: &Settings, otel: &Otel) -> Resource {
    let system = rustix::system::uname();
    let detected = [
        KeyValue::new("deployment.environment.name", settings.deployment_environment.clone()),
        KeyValue::new("host.name", system.nodename().to_string_lossy().into_owned()),
        KeyValue::new("os.type", std::env::consts::OS),
        KeyValue::new("process.pid", i64::from(std::process::id())),
        KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
    ];
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let machine = Some(machine.trim()).filter(|id| !id.is_empty());
    let named = otel.resource_attributes.iter();
    let named = named.map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let name = otel.service_name.clone().unwrap_or_else(|| service.name.to_owned());
    let own = [KeyValue::new("service.name", name), KeyValue::new("service.version", service.version)];
    // Later ones win. The SDK's detector of the environment does not decode percent-encoded values.
    Resource::builder_empty()
        .with_attributes(detected)
        .with_attributes(machine.map(|id| KeyValue::new("host.id", id.to_owned())))
        .with_attributes(named)
        .with_attributes(own)
        .with_detector(Box::new(TelemetryResourceDetector))
        .build()
}

/// The value of an attribute as text.
pub(crate) fn attribute(resource: &Resource, name: &'static str) -> Option<String> {
    resource.get(&name.into()).map(|value| value.to_string())
}
