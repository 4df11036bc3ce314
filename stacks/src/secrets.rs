//! `.env`: the user's settings, and the secrets that are generated once and kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions, Permissions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context as _, Error, Result, anyhow, ensure};
use uuid::Uuid;

/// RabbitMQ's user in every stack.
pub const AMQP_USER: &str = "omnitrace";

/// The secrets, each with the comment that stands above it in `.env`.
const SECRETS: [(&str, &str); 12] = [
    ("PAYMENT_TOKEN", "the gateway's token for payment's API"),
    ("MAILER_TOKEN", "the token for the mailer's dead letters and simulation"),
    ("ALERTS_TOKEN", "the token for writing and reading the gateway's alert log"),
    ("CONSOLE_TOKEN", "the token in the link to the console, where orders are placed and things are broken"),
    ("AMQP_PASSWORD", "the password of RabbitMQ's user omnitrace, also for its management page"),
    ("REDIS_PASSWORD", "the password of the local stack's Redis, with RATE_LIMIT=redis"),
    ("GRAFANA_PASSWORD", "the password of Grafana's user admin; taken when its volume is new"),
    (
        "ELASTIC_PASSWORD",
        "the password of Elasticsearch's and Kibana's user elastic, until it is changed in Kibana",
    ),
    ("KIBANA_PASSWORD", "Kibana's password for Elasticsearch"),
    ("KIBANA_ENCRYPTION_KEY", "the key by which Kibana encrypts its saved secrets"),
    ("LOGSTASH_PASSWORD", "Logstash's password for Elasticsearch"),
    ("APM_PASSWORD", "APM Server's password for Elasticsearch"),
];

/// The names of all secrets.
pub fn names() -> [&'static str; SECRETS.len()] {
    SECRETS.map(|(name, _)| name)
}

/// True if a secret is shorter than 16 characters, or has fewer than 8 different ones without common words.
pub(crate) fn is_guessable(secret: &str) -> bool {
    let words = ["changeme", "guest", "password", "qwerty", "secret", "123456789", AMQP_USER];
    let rest = words.iter().fold(secret.to_ascii_lowercase(), |rest, word| rest.replace(word, ""));
    secret.len() < 16 || rest.chars().collect::<BTreeSet<_>>().len() < 8
}

/// The settings in `.env`; none if the file is absent.
///
/// # Errors
/// Names the line that cannot be read; its text may be a secret.
pub fn read(file: &Path) -> Result<BTreeMap<String, String>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text.with_context(|| format!("cannot read {}", file.display()))?,
    };
    let entries = dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>();
    entries.map_err(|error| match error {
        dotenvy::Error::LineParse(line, _) => {
            let number =
                text.lines().position(|candidate| candidate.trim() == line.trim()).map(|index| index + 1);
            let place = number.map_or_else(|| "a line".to_owned(), |number| format!("line {number}"));
            anyhow!("{place} of {} is not KEY=value: correct or remove it", file.display())
        }
        error => Error::new(error).context(format!("cannot read {}", file.display())),
    })
}

/// Appends the secrets that `.env` lacks and returns their names. Present lines are never changed.
pub(crate) fn complete(file: &Path) -> Result<Vec<&'static str>> {
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
        // The user's own file may have been readable by others: it held no secrets until now.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", file.display()))?;
    Ok(missing.into_iter().map(|(key, _)| key).collect())
}

/// Replaces a file that only its owner may read, and makes its directory.
pub(crate) fn write(file: &Path, text: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(file)?;
        file.write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

/// What `complete` did, for a progress line.
pub(crate) fn written(count: usize) -> String {
    if count == 0 { "as in .env".into() } else { format!("wrote {count} secrets to .env") }
}

/// Refuses a broker password that no URL can hold as it is, or that can be guessed.
pub(crate) fn check_amqp_password(password: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    ensure!(
        !password.is_empty() && password.chars().all(plain),
        "AMQP_PASSWORD may hold only letters, digits and - _ . ~; change it in .env"
    );
    ensure!(
        !is_guessable(password),
        "AMQP_PASSWORD can be guessed: remove the line from .env, and `make up` writes a random one"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_written_once_for_the_owner_only() {
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
    fn common_words_are_guessable_and_random_secrets_are_not() {
        for weak in ["", "guest", "changeme-changeme", "omnitrace-password", "aaaaaaaaaaaaaaaaaaaa"] {
            assert!(is_guessable(weak), "{weak}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        complete(&file).unwrap();
        assert!(read(&file).unwrap().values().all(|secret| !is_guessable(secret)));
    }

    #[test]
    fn lines_of_the_user_stay_and_only_the_rest_is_added() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        fs::write(&file, "GATEWAY_LISTEN=127.0.0.1:8000\nPAYMENT_TOKEN=mine").unwrap();
        assert_eq!(complete(&file).unwrap(), names()[1..]);
        let settings = read(&file).unwrap();
        assert_eq!(settings["PAYMENT_TOKEN"], "mine");
        assert_eq!(settings["GATEWAY_LISTEN"], "127.0.0.1:8000");
    }

    #[test]
    fn an_unreadable_line_is_numbered_and_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        fs::write(&file, "GATEWAY_LISTEN=127.0.0.1:8000\nmy secret\n").unwrap();
        let error = format!("{:#}", read(&file).unwrap_err());
        assert!(error.starts_with("line 2 of ") && !error.contains("my secret"), "{error}");
    }
}
