//! The whole table of errors, reviewed like code. Set `UPDATE_GOLDEN=1` to write it anew.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

#[test]
fn the_table_of_errors_is_the_reviewed_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/error_table.txt");
    let table = isthmus_transport::error_table();
    #[expect(
        clippy::disallowed_methods,
        reason = "asked for by whoever changes the table"
    )]
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(table, reviewed);
}
