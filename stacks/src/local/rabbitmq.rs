//! A private RabbitMQ node out of the system's package: own data, own password, own ports, own
//! epmd, all on loopback. What starts it says where; nothing of it is shared with a system node.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{ports, secrets};
use crate::http;

/// The user that the node is created with.
pub const USER: &str = "omnitrace";

/// The package's inner script: the one in `PATH` insists on the user `rabbitmq`.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// The one beside it talks to a node.
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";

/// Where a node listens; all of it on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// AMQP 0-9-1.
    pub amqp: u16,
    /// Management page and API.
    pub management: u16,
    /// Prometheus metrics.
    pub metrics: u16,
    /// Erlang distribution.
    pub distribution: u16,
    /// Its own port mapper: the system's would stay behind.
    pub epmd: u16,
}

impl Ports {
    /// Where everybody looks for AMQP, management and metrics.
    pub const USUAL: [u16; 3] = [5672, 15672, 15692];

    /// The usual ports, each replaced by a free one when it is taken.
    pub fn usual() -> Result<Self> {
        let or_free = |port| match ports::obstacle(local(port)) {
            None => Ok(port),
            Some(_) => free(),
        };
        let [amqp, management, metrics] = Self::USUAL;
        Ok(Self {
            amqp: or_free(amqp)?,
            management: or_free(management)?,
            metrics: or_free(metrics)?,
            ..Self::free()?
        })
    }

    /// Free ports only.
    pub fn free() -> Result<Self> {
        Ok(Self {
            amqp: free()?,
            management: free()?,
            metrics: free()?,
            distribution: free()?,
            epmd: free()?,
        })
    }
}

fn free() -> Result<u16> {
    Ok(ports::free()?.port())
}

/// A port on the only interface that a node listens on.
pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A node as it is to be started or found.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name, unique on this machine.
    pub name: String,
    /// Absolute directory for everything it writes.
    pub data: PathBuf,
    /// Where it listens.
    pub ports: Ports,
    /// The password of [`USER`].
    pub password: String,
}

impl Node {
    /// `AMQP_URL` of its default vhost.
    pub fn amqp_url(&self) -> String {
        format!("amqp://{USER}:{}@127.0.0.1:{}/%2f", self.password, self.ports.amqp)
    }

    /// The management API, credentials included.
    pub fn management_url(&self) -> String {
        format!("http://{USER}:{}@127.0.0.1:{}", self.password, self.ports.management)
    }

    /// Its metrics, for Prometheus.
    pub fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.metrics)
    }

    /// Refuses early what would fail late: a missing package, a password that no URL can hold as it is.
    pub fn check(&self) -> Result<()> {
        check_password(&self.password)?;
        ensure!(
            Path::new(SERVER).exists(),
            "RabbitMQ is not installed: run `stacks/local/install rabbitmq-server`, or name a broker with AMQP_URL"
        );
        Ok(())
    }

    /// Writes its settings. The user comes by definitions, which are read at each start, so that the
    /// password in `.env` is always the right one; `default_pass` counts for a new database only.
    pub fn write_settings(&self) -> Result<()> {
        let Ports { amqp, management, metrics, .. } = self.ports;
        let definitions = self.data.join("definitions.json");
        let settings = format!(
            "listeners.tcp.local = 127.0.0.1:{amqp}\n\
             load_definitions = {}\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\n\
             prometheus.tcp.ip = 127.0.0.1\n\
             prometheus.tcp.port = {metrics}\n\
             log.console = true\n\
             log.file = false\n",
            definitions.display()
        );
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&self.data)?;
            fs::write(self.data.join("enabled_plugins"), "[rabbitmq_management,rabbitmq_prometheus].\n")?;
            fs::write(self.data.join("rabbitmq.conf"), settings)?;
            let mut options = fs::OpenOptions::new();
            let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(definitions)?;
            file.write_all(self::definitions(&self.password).to_string().as_bytes())
        };
        write().with_context(|| format!("cannot write RabbitMQ's settings to {}", self.data.display()))
    }

    /// The port mapper, in the foreground: `epmd -daemon` would be nobody's child and stay for good.
    pub fn epmd(&self) -> Command {
        let mut command = Command::new("epmd");
        command.args(["-address", "127.0.0.1", "-port", &self.ports.epmd.to_string()]);
        command
    }

    /// The node itself, in the foreground.
    pub fn server(&self) -> Command {
        let mut command = Command::new(SERVER);
        command
            // The script then becomes the Erlang machine instead of staying as its parent:
            // the pid that we know is the one that counts, and SIGTERM drains it.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("HOME", &self.data)
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            // Otherwise a node that can't start leaves its dump in the user's directory.
            .env("ERL_CRASH_DUMP", self.data.join("erl_crash.dump"))
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", self.data.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", self.data.join("log"))
            .env("RABBITMQ_PID_FILE", self.data.join("pid"))
            .env("RABBITMQ_CONFIG_FILE", self.data.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.data.join("enabled_plugins"))
            // What an administrator wrote for the system's node does not concern ours.
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", self.data.join("advanced.config"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
            );
        command
    }

    /// `rabbitmqctl`, for this node.
    pub fn control(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CONTROL);
        command
            .args(arguments)
            // The cookie that lets it in is there.
            .env("HOME", &self.data)
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
        command
    }

    /// Whether it takes AMQP connections, and our user is there with its permissions.
    pub async fn ready(&self, client: &Client) -> Result<(), String> {
        speaks_amqp(local(self.ports.amqp)).await?;
        let url = format!("http://127.0.0.1:{}/api/permissions/%2F/{USER}", self.ports.management);
        let request = client.get(url).basic_auth(USER, Some(&self.password));
        match request.send().await.map_err(|error| http::brief(&error))?.status() {
            StatusCode::OK => Ok(()),
            status => Err(format!("management API answers {status}")),
        }
    }
}

/// Refuses a password that no URL can hold as it is, or that anybody would try.
pub fn check_password(password: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    ensure!(
        !password.is_empty() && password.chars().all(plain),
        "AMQP_PASSWORD may hold only letters, digits and - _ . ~; change it in .env"
    );
    ensure!(
        !secrets::is_guessable(password),
        "AMQP_PASSWORD can be guessed: remove the line from .env, and `make up` writes a random one"
    );
    Ok(())
}

/// The user of a node, its vhost and what it may do there, for `load_definitions`.
pub fn definitions(password: &str) -> Value {
    json!({
        "users": [{ "name": USER, "password": password, "tags": "administrator" }],
        "vhosts": [{ "name": "/" }],
        "permissions": [{ "user": USER, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*" }],
    })
}

/// Whether something answers an AMQP 0-9-1 protocol header as a broker does.
pub async fn speaks_amqp(address: impl tokio::net::ToSocketAddrs) -> Result<(), String> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        stream.read_u8().await
    };
    match timeout(Duration::from_secs(2), talk).await {
        // A method frame: Connection.Start.
        Ok(Ok(1)) => Ok(()),
        Ok(Ok(_)) => Err("does not speak AMQP 0-9-1".into()),
        Ok(Err(_)) | Err(_) => Err("does not accept AMQP connections".into()),
    }
}
