//! The components of the stack: whether each runs and is ready.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::sleep;

use super::super::{ask::Answer, shared::Shared};
use crate::{
    compose::{engine::Engine, plan},
    http,
    local::{Health, layout::Component},
    stack::Places,
};

/// Time between two questions while a page is open, and while none is.
const PERIOD: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));

/// A component of the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::console) struct Part {
    pub(in crate::console) name: String,
    /// `ready`, `not ready` or `stopped`.
    pub(in crate::console) state: &'static str,
    reason: Option<String>,
    address: Option<String>,
    /// False for what the console could not start again.
    pub(in crate::console) can_stop: bool,
}

/// Asks until the process ends.
pub(super) async fn follow(shared: Arc<Shared>) {
    loop {
        show(&shared).await;
        sleep(if shared.hub.is_watched() { PERIOD.0 } else { PERIOD.1 }).await;
    }
}

/// Asks for all components, and shows the answer.
pub(in crate::console) async fn show(shared: &Shared) {
    let mut answer = Answer::to("components", None, async { components(shared).await.map(Some) }).await;
    answer.took = 0;
    shared.hub.set("components", &answer);
}

/// The components of the stack that runs.
pub(in crate::console) async fn components(shared: &Shared) -> Result<Vec<Part>> {
    let places = shared.places()?;
    if places.local.runs() { Ok(local(&places).await) } else { docker(shared, &places).await }
}

async fn local(places: &Places) -> Vec<Part> {
    let stack = &places.local;
    let part = async |component: Component| {
        let (state, reason) = match stack.health(component).await {
            Health::Ready => ("ready", None),
            Health::NotReady(reason) => ("not ready", Some(reason)),
            Health::Stopped => ("stopped", None),
        };
        Part {
            name: component.name().to_owned(),
            state,
            reason,
            address: Some(stack.layout().describe(component)),
            // Epmd serves the broker; and who would start the console again?
            can_stop: !matches!(component, Component::Epmd | Component::Console),
        }
    };
    join_all(stack.layout().components().map(part)).await
}

async fn docker(shared: &Shared, places: &Places) -> Result<Vec<Part>> {
    let engine = Engine::find(&plan::root(&shared.options.dir)?, &shared.options.settings()?).await?;
    let services = [
        ("gateway", places.local.gateway_url()),
        ("payment", places.local.payment_url()),
        ("mailer", places.local.mailer_url()),
    ];
    let mut parts = Vec::new();
    for container in engine.containers().await? {
        let is_job =
            container.state == "exited" && container.exit_code == 0 && container.service.ends_with("-setup");
        let (mut state, mut reason) = match (container.runs(), &*container.health) {
            (false, _) => ("stopped", None),
            (true, "" | "healthy") => ("ready", None),
            (true, health) => ("not ready", Some(health.to_owned())),
        };
        let service = services.iter().find(|(name, _)| *name == container.service);
        if let (true, Some((_, url))) = (container.runs(), service) {
            (state, reason) = match http::probe(&places.client, &format!("{url}/readyz")).await {
                Ok(()) => ("ready", None),
                Err(reason) => ("not ready", Some(reason)),
            };
        }
        if !is_job {
            parts.push(Part { name: container.service, state, reason, address: None, can_stop: true });
        }
    }
    Ok(parts)
}
