//! The settings of one run: the caller's environment over `.env`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::secrets;

/// Values by the name of the setting.
pub type Settings = BTreeMap<String, String>;

/// Where a command runs, and with which settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The root directory: holds `.env`, `var/` and `logs/`.
    pub dir: PathBuf,
    /// The caller's environment; it wins over `.env`.
    pub env: Settings,
    /// Choose free ports where no setting names one, for stacks side by side.
    pub free_ports: bool,
    /// The directory with the binaries `stacks`, `payment`, `mailer` and `gateway`.
    pub binaries: PathBuf,
}

impl Options {
    /// Options for this directory, with this process's environment and the binaries beside its own.
    ///
    /// # Errors
    /// When this program's own path is unknown.
    pub fn new(dir: impl Into<PathBuf>) -> Result<Self> {
        let binary = std::env::current_exe().context("cannot find the path of this program")?;
        let env = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        let binaries = binary.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self { dir: dir.into(), env: env.collect(), free_ports: false, binaries })
    }

    /// The settings in force. An empty value counts as absent.
    ///
    /// # Errors
    /// When `.env` cannot be read.
    pub fn settings(&self) -> Result<Settings> {
        let mut settings = secrets::read(&self.dir.join(".env"))?;
        settings.extend(self.env.clone());
        settings.retain(|_, value| !value.is_empty());
        Ok(settings)
    }

    /// The file that commands lock while they change a stack.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.dir.join("var/local.lock")
    }
}

/// The variables that any program needs, without those that would change what it does.
pub fn bare(env: &Settings) -> Settings {
    let needed = ["PATH", "HOME"].into_iter().filter_map(|key| env.get_key_value(key));
    needed.map(|(key, value)| (key.clone(), value.clone())).collect()
}
