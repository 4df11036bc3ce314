//! The files of the containers that are written from `.env` at each start: secrets, which `docker inspect` does not show,
//! and the link to runbooks.
//!
//! Each container mounts its own files. A container's user is unknown to this machine, so the files are readable by all
//! users; only their owner can enter the directory.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};

use super::{runbook::runbook, variables::Variables};
use crate::{
    local::rabbitmq,
    secrets::{self, AMQP_USER, check_amqp_password},
};

/// Characters of a key that Kibana accepts.
const MIN_KIBANA_KEY: usize = 32;

/// The files below `var/secrets`.
pub(super) const FILES: [&str; 7] = [
    "gateway.env",
    "payment.env",
    "mailer.env",
    "rabbitmq.json",
    "alerts_token",
    "grafana_password",
    "runbook.tmpl",
];

/// Writes the files to `var/secrets` below the root.
pub(super) fn write(root: &Path, settings: &Variables) -> Result<()> {
    for name in secrets::names() {
        check(name, settings.get(name).map_or("", String::as_str))?;
    }
    let of = |name: &str| settings.get(name).map_or("", String::as_str);
    let password = of("AMQP_PASSWORD");
    check_amqp_password(password)?;
    let amqp = format!("amqp://{}:{password}@rabbitmq:5672/%2f", AMQP_USER);
    let dotenv = |pairs: &[(&str, &str)]| -> String {
        pairs.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect()
    };
    let token = |name| (name, of(name));
    let dir = root.join("var/secrets");
    let contents = [
        dotenv(&[token("PAYMENT_TOKEN"), token("ALERTS_TOKEN")]),
        dotenv(&[token("PAYMENT_TOKEN"), ("AMQP_URL", &amqp)]),
        dotenv(&[token("MAILER_TOKEN"), ("AMQP_URL", &amqp)]),
        rabbitmq::definitions(password).to_string(),
        of("ALERTS_TOKEN").to_owned(),
        of("GRAFANA_PASSWORD").to_owned(),
        runbook(of("RUNBOOK_BASE_URL"))?,
    ];
    make_directory(&dir)?;
    let write = || -> std::io::Result<()> {
        for (name, content) in FILES.iter().zip(&contents) {
            // Written in place, not renamed: running containers have mounted these files.
            let mut options = OpenOptions::new();
            let mut file =
                options.create(true).write(true).truncate(true).mode(0o644).open(dir.join(name))?;
            file.write_all(content.as_bytes())?;
        }
        Ok(())
    };
    write().with_context(|| format!("cannot write to {}", dir.display()))
}

/// Makes a directory for its owner only.
pub(super) fn make_directory(dir: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("cannot make the directory {}", dir.display()))
}

fn check(name: &str, secret: &str) -> Result<()> {
    ensure!(
        !secrets::is_guessable(secret),
        "{name} can be guessed: remove the line from .env, and a random one is written there"
    );
    ensure!(
        name != "KIBANA_ENCRYPTION_KEY" || secret.len() >= MIN_KIBANA_KEY,
        "{name} has fewer than {MIN_KIBANA_KEY} characters, and Kibana would not start: remove the line from .env, and a \
         random one is written there"
    );
    ensure!(
        !secret.contains(['\'', '\n', '\r']),
        "{name} must not hold a quotation mark ' or a line break: change it in .env"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    fn settings() -> Variables {
        let secret = |name: &str| format!("{name}-5f2c81d09b7e4a63");
        secrets::names()
            .map(|name| (name.to_owned(), secret(name)))
            .into_iter()
            .chain([("AMQP_PASSWORD".to_owned(), "5f2c81d09b7e4a63-amqp".to_owned())])
            .collect()
    }

    #[test]
    fn each_container_gets_its_own_secrets_in_a_private_directory() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &settings()).unwrap();
        let dir = root.path().join("var/secrets");
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        let gateway = secrets::read(&dir.join("gateway.env")).unwrap();
        assert_eq!(gateway.into_keys().collect::<Vec<_>>(), ["ALERTS_TOKEN", "PAYMENT_TOKEN"]);
        assert!(read("mailer.env").contains("amqp://omnitrace:5f2c81d09b7e4a63-amqp@rabbitmq:5672/%2f"));
        assert_eq!(read("alerts_token"), "ALERTS_TOKEN-5f2c81d09b7e4a63");

        // A second time, over the present files.
        write(root.path(), &settings()).unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), FILES.len());
    }

    #[test]
    fn guessable_and_unquotable_secrets_are_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        for (name, bad, expected) in [
            ("GRAFANA_PASSWORD", "changeme", "GRAFANA_PASSWORD can be guessed"),
            ("ELASTIC_PASSWORD", "", "ELASTIC_PASSWORD can be guessed"),
            ("KIBANA_ENCRYPTION_KEY", "5f2c81d09b7e4a63", "KIBANA_ENCRYPTION_KEY has fewer than 32"),
            ("MAILER_TOKEN", "5f2c81d0'9b7e4a63", "MAILER_TOKEN must not hold"),
            ("AMQP_PASSWORD", "5f2c81d0/9b7e4a63", "AMQP_PASSWORD may hold only"),
        ] {
            let mut settings = settings();
            settings.insert(name.into(), bad.into());
            let error = write(root.path(), &settings).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(!root.path().join("var").exists(), "nothing is written before all are checked");
    }
}
