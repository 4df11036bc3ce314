//! axe-core's check of every view. It is fetched from npm at one version: the repository holds no code of others.

use std::fs;

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use stacks::output::show;

use super::{driver::Browser, link, npm, start};

const PACKAGE: &str = "axe-core@4.14.1";
/// Of `axe.min.js` in that package.
const CHECKSUM: &str = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c";

/// The script; none where npm cannot fetch it.
fn axe() -> Option<String> {
    let script = fs::read_to_string(npm::installed(PACKAGE)?.join("axe-core/axe.min.js")).unwrap();
    assert_eq!(HEXLOWER.encode(&Sha256::digest(&script)), CHECKSUM, "{PACKAGE} is not the one that is known");
    Some(script)
}

#[tokio::test]
async fn every_view_passes_axe_in_both_widths() {
    let Some(axe) = axe() else {
        show("SKIPPED: npm cannot fetch axe-core, so that no accessibility is checked\n").unwrap();
        return;
    };
    let system = start(&[]).await;
    let placed = system.place().await;
    system.email(&placed.id).await;
    system.trace(&placed.trace).await;
    for size in [(1440, 1000), (390, 844)] {
        let browser = Browser::open(size).await;
        browser.go(&link(&system)).await;
        browser.shows("#connection", "live").await;
        for (hash, element) in [
            ("#/", "#orders"),
            (&*format!("#/order/{}", placed.id), ".email"),
            ("#/break", "#components table"),
        ] {
            browser.run(&format!("location.hash = '{hash}'")).await;
            browser.exists(element).await;
            // Injected by the driver: the page's own policy lets no foreign script in.
            browser.run(&format!("{axe}; window.axe = axe;")).await;
            let script = "const done = arguments[arguments.length - 1]; axe.run(document, { resultTypes: ['violations'] })
                .then((found) => done(found.violations.map(({ id, help, nodes }) => [id, help, nodes.map((node) => node.html)])),
                      (error) => done([String(error)]));";
            let violations = browser.run_async(script).await;
            assert_eq!(violations, Value::Array(Vec::new()), "{hash} at {size:?}: {violations:#}");
        }
        browser.close().await;
    }
}
