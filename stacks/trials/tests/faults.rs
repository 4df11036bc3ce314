//! A few of the faults of `make faults` and a few of the mutants of `make mutants`, on the real system.

use std::process::Command;

use serde_json::Value;

#[test]
fn nothing_accepted_is_lost_or_done_twice_and_the_checker_would_see_it() {
    let report = tempfile::NamedTempFile::new().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_trials"))
        .args(["faults", "--quick", "--report"])
        .arg(report.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");

    let rows: Vec<Value> = serde_json::from_reader(report).unwrap();
    assert!(rows.len() >= 8, "{said}");
    for row in rows {
        assert!(row["accepted"].as_u64().unwrap() > 0, "{row}");
        assert_eq!((&row["lost"], &row["doubled"]), (&0.into(), &0.into()), "{row}");
        assert!(row["uncertain"].is_u64() && row["recovered_s"].is_f64(), "{row}");
    }
    assert!(said.contains("5 of 5 mutants caught"), "{said}");
}
