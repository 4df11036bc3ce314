//! Services in other languages beside ours: the examples of docs/joining.md, with pinned packages from their registries.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use stacks::trace::ORDER;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout},
};

use crate::harness::{System, environment};

/// A copy of an example with its packages, kept for the next run; none, with a word, where `program` is not installed or
/// its packages can't be had.
fn installed(example: &str, program: &str, install: &[&[&str]]) -> Option<PathBuf> {
    if Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("left out: {program} is not installed");
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/joining").join(example);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("joining").join(example);
    fs::create_dir_all(&dir).unwrap();
    let mut has_changed = !dir.join("installed").exists();
    for file in fs::read_dir(source).unwrap().map(|file| file.unwrap().path()) {
        let copy = dir.join(file.file_name().unwrap());
        let text = fs::read(&file).unwrap();
        has_changed |= fs::read(&copy).ok().is_none_or(|old| old != text);
        fs::write(copy, text).unwrap();
    }
    if has_changed {
        for command in install {
            let done = Command::new(command[0]).args(&command[1..]).current_dir(&dir).status().unwrap();
            if !done.success() {
                eprintln!("left out: {command:?} in {} failed: {done}", dir.display());
                return None;
            }
        }
        fs::write(dir.join("installed"), "").unwrap();
    }
    Some(dir)
}

/// Starts an example beside a system, and reads its output.
fn start(
    system: &System,
    dir: &Path,
    program: &str,
    file: &str,
    name: &str,
) -> (Child, BufReader<ChildStdout>) {
    let otlp = system.stack.layout().traces.unwrap().otlp;
    let mut child = tokio::process::Command::new(program)
        .arg(file)
        .current_dir(dir)
        .env_clear()
        .envs(environment())
        .env("AMQP_URL", system.vhost.amqp_url())
        .env("OTEL_SERVICE_NAME", name)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{otlp}"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

async fn line(output: &mut BufReader<ChildStdout>) -> Vec<String> {
    let mut line = String::new();
    output.read_line(&mut line).await.unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_python_consumer_joins_the_trace_of_an_order() {
    let install: [&[&str]; 2] = [
        &["python3", "-m", "venv", "packages"],
        &["packages/bin/pip", "install", "--quiet", "--requirement", "requirements.txt"],
    ];
    let Some(dir) = installed("python", "python3", &install) else { return };
    let system = System::start().await;
    let python = dir.join("packages/bin/python");
    let (_consumer, mut output) = start(&system, &dir, python.to_str().unwrap(), "consumer.py", "receipts");
    assert_eq!(line(&mut output).await, ["consuming"]);
    let order = system.place().await;
    assert_eq!(line(&mut output).await, ["received", "payment.succeeded", &order.id]);

    let receipt = ("receipts", "consumer", "process checkout:payment.succeeded:receipts");
    let whole: Vec<_> = ORDER.into_iter().chain([receipt]).collect();
    let trace = system.trace_with(&order.trace, &whole).await;
    let (receipt, publish) = (trace.find(receipt).unwrap(), trace.find(ORDER[3]).unwrap());
    assert_eq!((receipt.parent.as_ref(), &receipt.links[..]), (Some(&publish.id), &[publish.id.clone()][..]));
    assert_eq!(trace.orphans().count(), 0, "{trace:#?}");
}

#[tokio::test]
async fn an_event_of_a_node_publisher_is_mailed_in_its_trace() {
    let install: [&[&str]; 1] = [&["npm", "ci", "--no-audit", "--no-fund", "--silent"]];
    let Some(dir) = installed("node", "node", &install) else { return };
    let system = System::start().await;
    let (mut publisher, mut output) = start(&system, &dir, "node", "publisher.js", "settlements");
    let published = line(&mut output).await;
    let [_, order, trace] = &published[..] else { panic!("{published:?}") };
    assert!(publisher.wait().await.unwrap().success());

    assert!(system.email(order).await.contains(order));
    let root = ("settlements", "internal", "settle payment");
    let publish = ("settlements", "producer", "publish checkout");
    let trace = system.trace_with(trace, &[root, publish, ORDER[4], ORDER[5]]).await;
    let (publish, process) = (trace.find(publish).unwrap(), trace.find(ORDER[4]).unwrap());
    assert_eq!(process.parent.as_ref(), Some(&publish.id));
    assert!(trace.descends(trace.find(ORDER[5]).unwrap(), trace.find(root).unwrap()), "{trace:#?}");
}
