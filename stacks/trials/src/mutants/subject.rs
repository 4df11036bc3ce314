//! The system that gets one mutant after the other.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use stacks::{
    local::layout::Component,
    settings::{Options, bare},
};

use super::{
    patch::{Catcher, Patch},
    proof,
};
use crate::faults::{conditions, rounds::Rounds, system::System};

/// Orders that are accepted while a fault is there.
const ORDERS: usize = 60;
/// How long the system may take to finish what it has accepted: a mutant may never get there.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The system, and where its binaries come from.
pub(super) struct Subject<'a> {
    rounds: Rounds,
    dir: &'a Path,
    /// A directory of links to the binaries that are to run.
    links: PathBuf,
    originals: PathBuf,
    env: BTreeMap<String, String>,
}

impl<'a> Subject<'a> {
    /// Starts the system without a mutant.
    pub(super) async fn start(options: &Options, dir: &'a Path, seed: u64) -> Result<Self> {
        let (links, system) = (dir.join("binaries"), dir.join("system"));
        for directory in [&links, &system] {
            fs::create_dir(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let originals = options.binaries.canonicalize().context("the binaries are gone")?;
        link(&originals, &links, "stacks")?;
        for service in Component::SERVICES {
            link(&originals, &links, service.name())?;
        }
        let system = System::start(&system, links.clone(), &options.env).await?;
        let rounds = Rounds::new(system, seed, conditions(ORDERS, MAX_WAIT));
        Ok(Self { rounds, dir, links, originals, env: bare(&options.env) })
    }

    /// What is reported of a mutant whose binaries are in this directory.
    pub(super) async fn judge(&mut self, patch: &Patch, mutated: &Path) -> Result<Vec<String>> {
        for service in Component::SERVICES {
            let is_mutated = patch.service().is_none_or(|mutated| mutated == service.name());
            link(if is_mutated { mutated } else { &self.originals }, &self.links, service.name())?;
        }
        match patch.catcher {
            Catcher::Fault(fault) => {
                self.rounds.system().begin_anew().await?;
                Ok(self.rounds.run(fault).await?.violations)
            }
            Catcher::Prove => {
                let system = self.rounds.system();
                system.forget().await?;
                let (dir, amqp_url) = (self.dir.join(&patch.name), system.broker.node.amqp_url());
                fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
                proof::disproves(&dir, &self.links, self.env.clone(), amqp_url).await
            }
        }
    }
}

fn link(from: &Path, links: &Path, name: &str) -> Result<()> {
    let link = links.join(name);
    // There is none at first.
    let _ = fs::remove_file(&link);
    symlink(from.join(name), &link).with_context(|| format!("cannot make the link {}", link.display()))
}
