//! The addresses, directories, commands and settings of a local stack, for commands and for end-to-end tests.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::{
    LocalStack, installed,
    layout::{Component, Layout},
};
use crate::{address::url, process::Process};

impl LocalStack {
    /// The absolute root directory.
    pub fn dir(&self) -> &Path {
        &self.root
    }

    /// The addresses of all components.
    pub fn layout(&self) -> &Layout {
        &self.state.layout
    }

    /// The process of a component, if it runs.
    pub fn process(&self, component: Component) -> Option<Process> {
        self.state.alive(component)
    }

    /// True if any component runs.
    pub(crate) fn runs(&self) -> bool {
        self.layout().components().any(|component| self.process(component).is_some())
    }

    /// `http://…` of the order gateway.
    pub fn gateway_url(&self) -> String {
        url(self.layout().gateway)
    }

    /// `http://…` of the payment service.
    pub fn payment_url(&self) -> String {
        url(self.layout().payment)
    }

    /// `http://…` of the e-mail service.
    pub fn mailer_url(&self) -> String {
        url(self.layout().mailer)
    }

    /// `http://…` of Jaeger's UI and query API; none when the settings name another trace backend.
    pub fn jaeger_url(&self) -> Option<String> {
        self.layout().traces.map(|traces| url(traces.ui))
    }

    /// `http://…` of Prometheus, while this stack's own one runs.
    pub fn prometheus_url(&self) -> Option<String> {
        self.process(Component::Prometheus)?;
        self.layout().watch.map(|watch| url(watch.prometheus))
    }

    /// True if alerts are wanted, and Prometheus or Alertmanager is missing.
    pub(crate) fn lacks_alerts(&self) -> bool {
        self.layout().watch.is_none() && installed::are_alerts_wanted(&self.settings)
    }

    /// `amqp://…` of the broker that the services use.
    pub fn amqp_url(&self) -> Option<String> {
        self.node.as_ref().map(|node| node.amqp_url()).or_else(|| self.setting("AMQP_URL").map(str::to_owned))
    }

    /// The URL of the broker's management API with credentials, if it is known.
    pub fn management_url(&self) -> Option<String> {
        let named = || self.setting("RABBITMQ_MANAGEMENT_URL").map(str::to_owned);
        self.node.as_ref().map(|node| node.management_url()).or_else(named)
    }

    /// The directory of the services' log files.
    pub fn log_dir(&self) -> PathBuf {
        self.root.join(self.setting("LOG_DIR").unwrap_or("logs"))
    }

    /// The directory of the e-mails; none when they are sent over SMTP.
    pub fn mail_dir(&self) -> Option<PathBuf> {
        match self.setting("SMTP_URL") {
            Some(_) => None,
            None => Some(self.root.join(self.setting("MAIL_DIR").unwrap_or("var/mail"))),
        }
    }

    /// The command that starts a component, for a further process of it.
    ///
    /// # Errors
    /// When its program is missing.
    pub fn command(&self, component: Component) -> Result<Command> {
        self.launcher().command(component)
    }

    /// A setting in force.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str)
    }

    /// Changes a setting, or removes it, for components that are started from now on.
    pub fn set(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.settings.insert(key.to_owned(), value.to_owned()),
            None => self.settings.remove(key),
        };
    }
}
