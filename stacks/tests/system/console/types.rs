//! TypeScript's check of the page's scripts: their types stand in comments.

use std::{path::Path, process::Command};

use stacks::output::show;

use super::npm;

const PACKAGE: &str = "typescript@7.0.2";

#[test]
fn the_types_of_the_scripts_hold() {
    let Some(modules) = npm::installed(PACKAGE) else {
        show("SKIPPED: npm cannot fetch TypeScript, so that no types are checked\n").unwrap();
        return;
    };
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/page/jsconfig.json");
    let output = Command::new(modules.join(".bin/tsc")).arg("-p").arg(config).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
