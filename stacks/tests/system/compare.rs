//! `stacks compare`, with the one stack that needs no Docker.

use std::fs;

use crate::harness::Program;

#[tokio::test]
async fn the_local_stack_is_measured_and_written_down_with_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let compare = ["compare", "--stack", "local", "--orders", "20", "--docs", "."];
    let ended = Program::start("stacks", &compare, dir.path(), &[]).ended().await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let document = fs::read_to_string(dir.path().join("comparison.md")).unwrap();
    for part in ["20 orders, 20 each second", "The machine: ", "| | local |", &ended.stdout] {
        assert!(document.contains(part), "`{part}` is not in {document}");
    }
    assert!(!document.contains("Left out"), "{document}");
    // Whatever was measured took some time, memory and disk.
    for row in
        ["ready after", "memory after the orders", "disk after the orders", "order to whole trace, p95"]
    {
        let line = ended
            .stdout
            .lines()
            .find(|line| line.contains(row))
            .unwrap_or_else(|| panic!("{row}: {ended:?}"));
        let value: f64 = line.split('|').nth(2).unwrap().split_whitespace().next().unwrap().parse().unwrap();
        assert!(value > 0.0, "{line}");
    }
    let picture = fs::read_to_string(dir.path().join("comparison.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"), "{picture}");
}
