//! Writes a report's Markdown, HTML and plots anew from its `report.json`:
//! `cargo run -p facefold-report --example render -- results/utkface-folds OUT`.

use std::path::Path;

use facefold_report::{Report, ReportError, write};

fn main() -> Result<(), ReportError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [result, out] = arguments.as_slice() else {
        return Err(ReportError::Invalid {
            path: arguments.first().map(Into::into).unwrap_or_default(),
            message: "expected two arguments: a result's directory and one to write to".to_owned(),
        });
    };
    write(&Report::read(Path::new(result))?, Path::new(out)).map(|_| ())
}
