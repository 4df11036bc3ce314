//! A checkout with a search path of its own, where `docker` is a script or missing.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use stacks::{
    address,
    compose::{plan, variables::Variables},
};
use tempfile::TempDir;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub(crate) fn root() -> PathBuf {
    plan::root(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
}

/// A checkout with a search path of its own, where `docker` is a script or missing.
pub(crate) struct Machine(pub(crate) TempDir);

impl Machine {
    pub(crate) fn without_docker() -> Self {
        let dir = tempfile::tempdir().unwrap();
        symlink(root().join("stacks"), dir.path().join("stacks")).unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        Self(dir)
    }

    /// `cases` are the branches of a shell's `case` on the arguments of `docker`; any other call fails and is recorded.
    pub(crate) fn with_docker(cases: &str) -> Self {
        let machine = Self::without_docker();
        let docker = machine.0.path().join("bin/docker");
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n{cases}\n*) echo \"$*\" >>{}; exit 1;; esac\n",
            machine.other_calls().display()
        );
        fs::write(&docker, script).unwrap();
        fs::set_permissions(docker, fs::Permissions::from_mode(0o755)).unwrap();
        machine
    }

    pub(crate) fn other_calls(&self) -> PathBuf {
        self.0.path().join("calls")
    }

    /// The exit code of a command, and its output.
    pub(crate) fn stacks(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.stacks_with(arguments, &Variables::new())
    }

    pub(crate) fn stacks_with(&self, arguments: &[&str], settings: &Variables) -> (Option<i32>, String) {
        let mut stacks = Command::new(env!("CARGO_BIN_EXE_stacks"));
        stacks.args(arguments).current_dir(self.0.path()).env_clear().envs(settings);
        stacks.env("PATH", self.0.path().join("bin"));
        // Only the test of the console ends the console that it starts.
        if !settings.contains_key("CONSOLE_LISTEN") {
            stacks.env("CONSOLE", "off");
        }
        let ended = stacks.output().unwrap();
        (ended.status.code(), String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap())
    }

    /// Checks that a command is refused with this message and starts nothing.
    pub(crate) fn refuses(&self, arguments: &[&str], expected: &str) {
        let (code, output) = self.stacks(arguments);
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains(expected), "{output}");
        let calls = fs::read_to_string(self.other_calls()).unwrap_or_default();
        assert!(calls.is_empty(), "docker was called: {calls}");
        for made in [".env", "var/secrets"] {
            assert!(!self.0.path().join(made).exists(), "{made} was written");
        }
    }
}

/// The answers of an engine that runs this service.
pub(crate) fn engine_with(service: &str) -> String {
    let info =
        r#"{"ServerVersion":"28.2.2","OperatingSystem":"Debian","MemTotal":17179869184,"DockerRootDir":"/",
        "SystemTime":"NOW","MemoryLimit":true}"#
            .replace("NOW", &OffsetDateTime::now_utc().format(&Rfc3339).unwrap());
    let container = format!(r#"{{"Service":"{service}","State":"running"}}"#);
    format!(
        "--version) ;;\ninfo*) echo '{info}';;\n'buildx version') ;;\n'compose version'*) echo 2.26.1;;\n*' ps '*) echo '{container}';;"
    )
}

pub(crate) fn free() -> String {
    address::free().unwrap().to_string()
}
