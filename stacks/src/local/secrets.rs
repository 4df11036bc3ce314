//! `.env`: the user's settings, and the secrets that are made up once and kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions, Permissions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context as _, Error, Result, anyhow};
use uuid::Uuid;

use super::rabbitmq::USER;

const SECRETS: [(&str, &str); 10] = [
    ("PAYMENT_TOKEN", "payment accepts only who presents this; the gateway does"),
    (
        "MAILER_TOKEN",
        "the mailer shows and replays dead letters, and simulates trouble, only for who presents this",
    ),
    ("ALERTS_TOKEN", "the gateway's alert log takes alerts from, and shows them to, who presents this"),
    ("AMQP_PASSWORD", "of RabbitMQ's user omnitrace, also for its management page"),
    ("GRAFANA_PASSWORD", "of Grafana's user admin, when its volume is new"),
    ("ELASTIC_PASSWORD", "of Elasticsearch's and Kibana's user elastic, when the volume is new"),
    ("KIBANA_PASSWORD", "by which Kibana knows itself to Elasticsearch"),
    ("KIBANA_ENCRYPTION_KEY", "what Kibana keeps secret is encrypted with this"),
    ("LOGSTASH_PASSWORD", "by which Logstash knows itself to Elasticsearch"),
    ("APM_PASSWORD", "by which APM Server knows itself to Elasticsearch"),
];

/// The names of all secrets.
pub fn names() -> [&'static str; SECRETS.len()] {
    SECRETS.map(|(name, _)| name)
}

/// Whether a secret is short, or little is left of it without the words that everybody tries.
pub fn is_guessable(secret: &str) -> bool {
    let words = ["changeme", "guest", "password", "qwerty", "secret", "123456789", USER];
    let rest = words.iter().fold(secret.to_ascii_lowercase(), |rest, word| rest.replace(word, ""));
    secret.len() < 16 || rest.chars().collect::<BTreeSet<_>>().len() < 8
}

/// The settings in `.env`; none when there is no such file.
pub fn read(file: &Path) -> Result<BTreeMap<String, String>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text.with_context(|| format!("cannot read {}", file.display()))?,
    };
    let entries = dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>();
    entries.map_err(|error| match error {
        // The line itself may hold a secret.
        dotenvy::Error::LineParse(line, _) => {
            let number =
                text.lines().position(|candidate| candidate.trim() == line.trim()).map(|index| index + 1);
            let place = number.map_or_else(|| "a line".to_owned(), |number| format!("line {number}"));
            anyhow!("{place} of {} is not KEY=value: mend it, or remove it", file.display())
        }
        error => Error::new(error).context(format!("cannot read {}", file.display())),
    })
}

/// Appends the secrets that `.env` lacks and returns their names. What is there is never changed.
pub fn complete(file: &Path) -> Result<Vec<&'static str>> {
    let present = read(file)?;
    let missing: Vec<_> = SECRETS.into_iter().filter(|(key, _)| !present.contains_key(*key)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let mut text = String::new();
    if fs::read(file).is_ok_and(|bytes| bytes.last().is_some_and(|last| *last != b'\n')) {
        text.push('\n');
    }
    for (key, purpose) in &missing {
        text.push_str(&format!(
            "# {purpose}\n{key}={}{}\n",
            Uuid::new_v4().simple(),
            Uuid::new_v4().simple()
        ));
    }
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(file)?;
        // A file that was readable by others has held no secret of ours until now.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", file.display()))?;
    Ok(missing.into_iter().map(|(key, _)| key).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        assert_eq!(complete(&file).unwrap(), names());
        let first = fs::read_to_string(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&file).unwrap()["PAYMENT_TOKEN"].len(), 64);

        assert!(complete(&file).unwrap().is_empty());
        assert_eq!(fs::read_to_string(&file).unwrap(), first);
    }

    #[test]
    fn a_secret_that_everybody_would_try_is_guessable_and_a_made_up_one_is_not() {
        for weak in ["", "guest", "changeme-changeme", "omnitrace-password", "aaaaaaaaaaaaaaaaaaaa"] {
            assert!(is_guessable(weak), "{weak}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        complete(&file).unwrap();
        assert!(read(&file).unwrap().values().all(|secret| !is_guessable(secret)));
    }

    #[test]
    fn what_the_user_wrote_stays_and_only_the_rest_is_added() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        fs::write(&file, "GATEWAY_LISTEN=127.0.0.1:8000\nPAYMENT_TOKEN=mine").unwrap();
        assert_eq!(complete(&file).unwrap(), names()[1..]);
        let settings = read(&file).unwrap();
        assert_eq!(settings["PAYMENT_TOKEN"], "mine");
        assert_eq!(settings["GATEWAY_LISTEN"], "127.0.0.1:8000");
    }

    #[test]
    fn a_line_that_cant_be_read_is_numbered_and_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        fs::write(&file, "GATEWAY_LISTEN=127.0.0.1:8000\nmy secret\n").unwrap();
        let error = format!("{:#}", read(&file).unwrap_err());
        assert!(error.starts_with("line 2 of ") && !error.contains("my secret"), "{error}");
    }
}
