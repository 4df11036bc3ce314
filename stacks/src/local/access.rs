//! Where the parts of a stack are to be found, for commands and for end-to-end tests.

use std::path::{Path, PathBuf};

use super::{
    Stack,
    layout::{Component, Layout, url},
    watch,
};
use crate::process::Process;

impl Stack {
    /// The absolute root directory.
    pub fn dir(&self) -> &Path {
        &self.root
    }

    /// Where everything listens.
    pub fn layout(&self) -> &Layout {
        &self.state.layout
    }

    /// The process of a component, if it runs.
    pub fn process(&self, component: Component) -> Option<Process> {
        self.state.alive(component)
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

    /// `http://…` of Jaeger's UI and query API; none when the traces go to a backend of the user's.
    pub fn jaeger_url(&self) -> Option<String> {
        self.layout().traces.map(|traces| url(traces.ui))
    }

    /// `http://…` of Prometheus, while one of this stack runs.
    pub fn prometheus_url(&self) -> Option<String> {
        self.process(Component::Prometheus)?;
        self.layout().watch.map(|watch| url(watch.prometheus))
    }

    /// Whether alerts are wanted, and nobody here can raise them.
    pub fn lacks_alerts(&self) -> bool {
        self.layout().watch.is_none() && watch::is_wanted(&self.settings)
    }

    /// The broker that the services use.
    pub fn amqp_url(&self) -> Option<String> {
        self.node.as_ref().map(|node| node.amqp_url()).or_else(|| self.setting("AMQP_URL").map(str::to_owned))
    }

    /// The management API of the broker, credentials included, as far as it is known.
    pub fn management_url(&self) -> Option<String> {
        let named = || self.setting("RABBITMQ_MANAGEMENT_URL").map(str::to_owned);
        self.node.as_ref().map(|node| node.management_url()).or_else(named)
    }

    /// Where the services write their log files.
    pub fn log_dir(&self) -> PathBuf {
        self.root.join(self.setting("LOG_DIR").unwrap_or("logs"))
    }

    /// Where the e-mails land; none when they are sent over SMTP.
    pub fn mail_dir(&self) -> Option<PathBuf> {
        match self.setting("SMTP_URL") {
            Some(_) => None,
            None => Some(self.root.join(self.setting("MAIL_DIR").unwrap_or("var/mail"))),
        }
    }

    /// A setting of the caller's or of `.env`.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str)
    }

    /// From now on, what is started is told another value for a setting, or none.
    pub fn set(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.settings.insert(key.to_owned(), value.to_owned()),
            None => self.settings.remove(key),
        };
    }
}
