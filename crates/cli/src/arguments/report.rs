//! What `report` can do.

use std::path::PathBuf;

use clap::Subcommand;
use clap::builder::TypedValueParser;
use facefold_report::TableFormat;

use super::values::{known, local_path};

/// The name of one of these languages of tables.
pub(super) fn table_format(
    formats: &'static [TableFormat],
) -> impl TypedValueParser<Value = TableFormat> {
    let names = move || formats.iter().map(|format| format.as_str());
    known(names()).try_map(move |name| {
        let found = formats.iter().copied().find(|format| format.as_str() == name);
        let all = || names().collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| format!("expected one of {}, found `{name}`", all()))
    })
}

/// What to do with a report.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Print a report's tables.
    Open {
        /// Directory that `cv`, `tune` or `matrix` wrote.
        result: PathBuf,
    },
    /// Write `report.html`, `report.md` and the plots anew from a report's `report.json`; of a matrix
    /// `report.md`.
    #[command(after_help = "Example: facefold report render results/utkface-folds --out rendered")]
    Render {
        /// Directory that `cv`, `tune` or `matrix` wrote.
        result: PathBuf,
        /// Directory to write into; the report's own where none is given.
        #[arg(long, value_parser = local_path(), value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Print a report's tables for a paper; with `--out` write them, and every plot as SVG, PDF and PNG.
    #[command(
        after_help = "Example: facefold report export results/utkface-folds --format latex --out paper"
    )]
    Export {
        /// Directory that `cv` wrote.
        result: PathBuf,
        /// latex (package booktabs), csv (a line a head and metric), markdown, or bibtex (references).
        #[arg(long, value_name = "FORMAT", value_parser = table_format(&TableFormat::ALL), hide_possible_values = true)]
        format: TableFormat,
        /// Directory to write into.
        #[arg(long, value_parser = local_path(), value_name = "DIR")]
        out: Option<PathBuf>,
    },
}
