//! The bench itself works: a short run without anything in between.

use std::process::Command;

#[test]
fn a_short_direct_run_answers_every_call_and_prints_a_table() {
    let output = Command::new(env!("CARGO_BIN_EXE_macro"))
        .args([
            "--seconds",
            "0.1",
            "--connections",
            "1,4",
            "--without",
            "nginx,isthmus",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for era in ["stateless", "stateful"] {
        for row in [
            format!("| tools/call | {era} → {era} | 1 | direct |"),
            format!("| tools/call | {era} → {era} | 4 | direct |"),
            format!("| tools/list | {era} → {era} | 16 | direct |"),
        ] {
            assert!(text.contains(&row), "{row} is missing in\n{text}");
        }
    }
}
