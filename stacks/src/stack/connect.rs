//! Clients of the servers that keep a stack's evidence, made from their places.

use anyhow::{Context as _, Result};

use super::places::{ELASTICSEARCH, JAEGER, LOKI, MAILPIT, MIMIR, PROMETHEUS, Places, TEMPO};
use crate::{
    backends::{
        Inbox, Logs, Metrics, Traces,
        elasticsearch::Elasticsearch,
        files::{LogFiles, MailFiles},
        jaeger::Jaeger,
        loki::Loki,
        mailpit::Mailpit,
        prometheus::Prometheus,
        services::Services,
        tempo::Tempo,
    },
    logs::SERVICES,
};

/// Makes the client of one server.
pub(super) type Connect<T> = fn(&Places) -> Result<Box<T>>;

pub(super) fn local_traces(places: &Places) -> Result<Box<dyn Traces>> {
    let url = places.local.jaeger_url().context(
        "cannot read the spans: OTEL_EXPORTER_OTLP_ENDPOINT names another trace backend than the stack's own",
    )?;
    Ok(Box::new(Jaeger::new(places.client.clone(), url)))
}

pub(super) fn log_files(places: &Places) -> Result<Box<dyn Logs>> {
    Ok(Box::new(LogFiles::from_end(&places.local.log_dir())?))
}

pub(super) fn local_metrics(places: &Places) -> Result<Box<dyn Metrics>> {
    match places.local.prometheus_url() {
        Some(url) => Ok(Box::new(Prometheus::new(places.client.clone(), url))),
        None => services(places),
    }
}

pub(super) fn local_inbox(places: &Places) -> Result<Box<dyn Inbox>> {
    match places.local.mail_dir() {
        Some(dir) => Ok(Box::new(MailFiles::new(dir))),
        None => mailpit(places),
    }
}

pub(super) fn jaeger(places: &Places) -> Result<Box<dyn Traces>> {
    Ok(Box::new(Jaeger::new(places.client.clone(), places.url(JAEGER)?)))
}

pub(super) fn tempo(places: &Places) -> Result<Box<dyn Traces>> {
    Ok(Box::new(Tempo::new(places.client.clone(), places.url(TEMPO)?)))
}

pub(super) fn apm(places: &Places) -> Result<Box<dyn Traces>> {
    Ok(Box::new(elasticsearch(places)?))
}

pub(super) fn logstash(places: &Places) -> Result<Box<dyn Logs>> {
    Ok(Box::new(elasticsearch(places)?))
}

fn elasticsearch(places: &Places) -> Result<Elasticsearch> {
    let password = places.secret("ELASTIC_PASSWORD")?;
    Ok(Elasticsearch::new(places.client.clone(), places.url(ELASTICSEARCH)?, "elastic", password))
}

pub(super) fn loki(places: &Places) -> Result<Box<dyn Logs>> {
    Ok(Box::new(Loki::new(places.client.clone(), places.url(LOKI)?)))
}

pub(super) fn prometheus(places: &Places) -> Result<Box<dyn Metrics>> {
    Ok(Box::new(Prometheus::new(places.client.clone(), places.url(PROMETHEUS)?)))
}

pub(super) fn mimir(places: &Places) -> Result<Box<dyn Metrics>> {
    Ok(Box::new(Prometheus::new(places.client.clone(), places.url(MIMIR)? + "/prometheus")))
}

/// The services' own `/metrics`, for a stack in which nothing scrapes them.
pub(super) fn services(places: &Places) -> Result<Box<dyn Metrics>> {
    let urls = [places.local.gateway_url(), places.local.payment_url(), places.local.mailer_url()];
    Ok(Box::new(Services::new(places.client.clone(), SERVICES.into_iter().zip(urls))))
}

pub(super) fn mailpit(places: &Places) -> Result<Box<dyn Inbox>> {
    Ok(Box::new(Mailpit::new(places.client.clone(), places.url(MAILPIT)?)))
}
