//! A private redis-server of the system's package, on loopback: it keeps the rate limit that gateways share, and no file.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::installed::{REDIS, find};
use crate::{secrets::write, settings::Settings};

/// The setting that moves it, and its usual port.
pub(super) const LISTEN: (&str, u16) = ("REDIS_LISTEN", 6379);

/// True with `RATE_LIMIT=redis`, unless a setting names another store.
///
/// # Errors
/// When `RATE_LIMIT` has another value.
pub(super) fn is_wanted(settings: &Settings) -> Result<bool> {
    match settings.get("RATE_LIMIT").map(String::as_str) {
        None => Ok(false),
        Some("redis") => Ok(!settings.contains_key("GATEWAY_RATE_LIMIT_URL")),
        Some(value) => {
            bail!("cannot use RATE_LIMIT={value}: the only store is `redis`; set it, or remove the line")
        }
    }
}

/// The command that starts it, with its settings in a file: arguments are visible to every user.
pub(super) fn command(root: &Path, settings: &Settings, address: SocketAddr) -> Result<Command> {
    let program = find(settings, REDIS).context(
        "cannot find redis-server, which RATE_LIMIT=redis asks for; install it with `stacks/local/install redis-server`",
    )?;
    let file = root.join("var/redis/redis.conf");
    let (ip, port, password) = (address.ip(), address.port(), password(settings)?);
    write(&file, &format!("bind {ip}\nport {port}\nrequirepass {password}\nsave \"\"\nappendonly no\n"))?;
    let mut command = Command::new(program);
    command.arg(file);
    Ok(command)
}

/// The value of `GATEWAY_RATE_LIMIT_URL`.
pub(super) fn url(settings: &Settings, address: SocketAddr) -> Result<String> {
    Ok(format!("redis://:{}@{address}", password(settings)?))
}

fn password(settings: &Settings) -> Result<&str> {
    settings.get("REDIS_PASSWORD").map(String::as_str).context("REDIS_PASSWORD is missing in .env")
}

/// Ok if it answers at this address, otherwise the reason.
pub(super) async fn ready(address: SocketAddr) -> Result<(), String> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"PING\r\n").await?;
        stream.read_u8().await
    };
    match timeout(Duration::from_secs(2), talk).await {
        // An error without the password.
        Ok(Ok(b'+' | b'-')) => Ok(()),
        Ok(Ok(_)) => Err("does not speak Redis".into()),
        Ok(Err(_)) | Err(_) => Err("does not accept connections".into()),
    }
}
