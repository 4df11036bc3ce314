//! A few of the faults of `make faults`, on the real system.

use std::process::Command;

use serde_json::Value;

#[test]
fn quick_faults_lose_and_double_nothing() {
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
        assert!(row["threads"].as_u64().unwrap() > 0 && row["descriptors"].as_u64().unwrap() > 0, "{row}");
        assert!(row["memory_mib"].as_u64().unwrap() > 0, "{row}");
        // Mistakes of clients, which are among the orders at any time, are no warnings.
        let signals = row["seen_in"].as_array().unwrap();
        let warned = signals.iter().any(|signal| signal.as_str().unwrap().starts_with("log of "));
        assert!(row["fault"] != "nothing" || !warned, "{row}");
        assert!(row["uncertain"].is_u64() && row["recovered_s"].is_f64(), "{row}");
    }
}
