//! The one place that prints.

use comfy_table::presets;
use comfy_table::{Cell, ContentArrangement, Table};

/// Prints `text` and a line end to standard output.
#[expect(clippy::print_stdout, reason = "this is the place")]
pub(super) fn line(text: &str) {
    println!("{text}");
}

/// Prints `text` as it is to standard output.
#[expect(clippy::print_stdout, reason = "this is the place")]
pub(super) fn text(text: &str) {
    print!("{text}");
}

/// Tells the user what is wrong, on standard error.
#[expect(clippy::print_stderr, reason = "this is the place")]
pub(super) fn complaint(text: &str) {
    eprintln!("{}", text.trim_end());
}

/// Prints rows under headings, as wide as the terminal allows.
pub(super) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.iter().map(Cell::new));
    for row in rows {
        table.add_row(row);
    }
    for written in table.lines() {
        line(written.trim_end());
    }
}
