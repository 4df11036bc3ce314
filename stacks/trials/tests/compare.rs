//! `trials compare` with the one stack that needs no Docker.

use std::{fs, process::Command};

#[test]
fn the_local_stack_is_measured_and_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let needed = ["PATH", "HOME"].into_iter().filter_map(|key| Some((key, std::env::var_os(key)?)));
    let compare = Command::new(env!("CARGO_BIN_EXE_trials"))
        .args(["compare", "--stack", "local", "--orders", "20", "--docs", "."])
        .current_dir(dir.path())
        .env_clear()
        .envs(needed)
        .output()
        .unwrap();
    let [stdout, stderr] = [compare.stdout, compare.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(compare.status.success(), "{stdout}{stderr}");
    let document = fs::read_to_string(dir.path().join("comparison.md")).unwrap();
    for part in ["20 orders, 20 each second", "The machine: ", "| | local |", &stdout] {
        assert!(document.contains(part), "`{part}` is not in {document}");
    }
    assert!(!document.contains("Left out"), "{document}");
    // Each measurement is above zero.
    for row in
        ["ready after", "memory after the orders", "disk after the orders", "order to whole trace, p95"]
    {
        let line =
            stdout.lines().find(|line| line.contains(row)).unwrap_or_else(|| panic!("{row}: {stdout}"));
        let value: f64 = line.split('|').nth(2).unwrap().split_whitespace().next().unwrap().parse().unwrap();
        assert!(value > 0.0, "{line}");
    }
    let picture = fs::read_to_string(dir.path().join("comparison.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"), "{picture}");
}
