//! What every question and action of the console uses.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;

use super::hub::Hub;
use crate::{
    settings::Options,
    stack::{Backends, Places},
};

/// The time for which the stack that was found is taken to be the one that runs.
const FRESH: Duration = Duration::from_secs(10);

/// The directory of the stack, its backends as they were last found, and the topics of the page.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) hub: Hub,
    found: Mutex<Option<(Instant, Arc<Backends>)>>,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Self { options, hub: Hub::new(), found: Mutex::default() }
    }

    /// The servers that the settings name now.
    pub(super) fn places(&self) -> Result<Places> {
        Places::open(&self.options)
    }

    /// The backends of the stack that runs.
    pub(super) async fn backends(&self) -> Result<Arc<Backends>> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, backends)) = found
            && at.elapsed() < FRESH
        {
            return Ok(backends);
        }
        let backends = Arc::new(Backends::first(&self.options).await?);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), backends.clone()));
        Ok(backends)
    }
}
