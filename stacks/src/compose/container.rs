//! A container, as `docker compose ps` describes it.

use std::path::Path;

use serde::Deserialize;

/// A container of the project.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Container {
    pub(crate) service: String,
    /// `created`, `running`, `restarting`, `exited`, ...
    pub(crate) state: String,
    /// `starting`, `healthy`, `unhealthy`; empty without a health check.
    #[serde(default)]
    pub(crate) health: String,
    #[serde(default)]
    pub(crate) exit_code: i32,
    #[serde(default)]
    labels: String,
}

impl Container {
    /// True if the container was started and has not ended.
    pub(crate) fn runs(&self) -> bool {
        ["running", "restarting", "paused"].contains(&&*self.state)
    }

    /// The directory in which `docker compose` was called.
    pub(crate) fn working_dir(&self) -> Option<&Path> {
        let labels = self.labels.split(',');
        let mut dirs =
            labels.filter_map(|label| label.strip_prefix("com.docker.compose.project.working_dir="));
        dirs.next().map(Path::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_read_from_compose_ps() {
        let line = r#"{"Service":"gateway","State":"running","Health":"starting","ExitCode":0,
            "Labels":"a=b,com.docker.compose.project.working_dir=/srv/omnitrace,c=d","Name":"omnitrace-gateway-1"}"#;
        let container: Container = serde_json::from_str(line).unwrap();
        assert!(container.runs());
        assert_eq!(container.working_dir(), Some(Path::new("/srv/omnitrace")));
    }
}
