//! The parts of the sample page that need no browser.

use std::path::Path;
use std::process::Command;

#[test]
fn edits_and_journeys_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk");
    let output = Command::new("node")
        .args(["--test", "pages.test.mjs"])
        .current_dir(folder)
        .output()
        .expect("node starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("pass 6"), "not all ran: {told}");
}
