//! A private RabbitMQ node of the system's package, on loopback: its data, password, ports and epmd are its own, none
//! shared with the system's node.

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

use crate::{
    address, http,
    secrets::{AMQP_USER as USER, check_amqp_password},
};

/// The package's inner script: the one in `PATH` requires the user `rabbitmq`.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// The command line for a node.
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";

/// The ports of a node, all on 127.0.0.1.
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
    /// The node's own port mapper: the system's would outlive it.
    pub epmd: u16,
}

impl Ports {
    /// The default ports of AMQP, management and metrics.
    pub const USUAL: [u16; 3] = [5672, 15672, 15692];

    /// The default ports, each replaced by a free one when it is used.
    ///
    /// # Errors
    /// When no port is free.
    pub fn usual() -> Result<Self> {
        let or_free = |port| match address::obstacle(local(port)) {
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
    ///
    /// # Errors
    /// When no port is free.
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
    Ok(address::free()?.port())
}

/// The loopback address with a port.
pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The identity of a node.
#[derive(Clone, Debug)]
pub struct Node {
    /// The node's name, unique on this machine.
    pub name: String,
    /// The absolute directory for its files.
    pub data: PathBuf,
    /// Its ports.
    pub ports: Ports,
    /// The password of [`AMQP_USER`](USER).
    pub password: String,
}

impl Node {
    /// The `AMQP_URL` of the default virtual host.
    pub fn amqp_url(&self) -> String {
        format!("amqp://{USER}:{}@127.0.0.1:{}/%2f", self.password, self.ports.amqp)
    }

    /// The URL of the management API with credentials.
    pub fn management_url(&self) -> String {
        format!("http://{USER}:{}@127.0.0.1:{}", self.password, self.ports.management)
    }

    /// The URL of the metrics.
    pub fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.metrics)
    }

    /// Refuses a missing package and a bad password before anything is started.
    ///
    /// # Errors
    /// Says what to do.
    pub fn check(&self) -> Result<()> {
        check_amqp_password(&self.password)?;
        ensure!(
            Path::new(SERVER).exists(),
            "cannot find RabbitMQ: run `stacks/local/install rabbitmq-server`, or name a broker with AMQP_URL"
        );
        Ok(())
    }

    /// Writes the node's settings. The user comes by definitions, which are read at each start: `default_pass` would
    /// count for a new database only, and a password changed in `.env` would be refused.
    ///
    /// # Errors
    /// When a file cannot be written.
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

    /// The command of the port mapper, in the foreground: `epmd -daemon` would leave its parent and never end.
    pub fn epmd(&self) -> Command {
        let mut command = Command::new("epmd");
        command.args(["-address", "127.0.0.1", "-port", &self.ports.epmd.to_string()]);
        command
    }

    /// The command of the node, in the foreground.
    pub fn server(&self) -> Command {
        let mut command = Command::new(SERVER);
        command
            // The script then replaces itself by the Erlang machine: the known pid is that of the node, and SIGTERM
            // drains it.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("HOME", &self.data)
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            // By default the dump of a failed start goes to the user's directory.
            .env("ERL_CRASH_DUMP", self.data.join("erl_crash.dump"))
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", self.data.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", self.data.join("log"))
            .env("RABBITMQ_PID_FILE", self.data.join("pid"))
            .env("RABBITMQ_CONFIG_FILE", self.data.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.data.join("enabled_plugins"))
            // The administrator's settings are for the system's node.
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", self.data.join("advanced.config"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
            );
        command
    }

    /// The command `rabbitmqctl` for this node.
    pub fn control(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CONTROL);
        command
            .args(arguments)
            // The node's cookie is in its home directory.
            .env("HOME", &self.data)
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
        command
    }

    /// Ok if the node takes AMQP connections and the user has its permissions, otherwise the reason.
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

/// The user of a node with its permissions on the default virtual host, for `load_definitions`.
pub(crate) fn definitions(password: &str) -> Value {
    json!({
        "users": [{ "name": USER, "password": password, "tags": "administrator" }],
        "vhosts": [{ "name": "/" }],
        "permissions": [{ "user": USER, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*" }],
    })
}

/// Ok if a broker answers the AMQP 0-9-1 protocol header at this address, otherwise the reason.
pub(crate) async fn speaks_amqp(address: impl tokio::net::ToSocketAddrs) -> Result<(), String> {
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
