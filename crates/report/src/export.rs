//! Tables of a report in the languages of papers, and its plots as files to paste.

mod bibtex;
mod csv;
mod latex;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use facefold_core::files::write_atomic;
use facefold_evaluate::{Comparison, MetricSummary};

use crate::comparison;
use crate::contents;
use crate::error::ReportError;
use crate::format::{self, NONE};
use crate::inline::literal;
use crate::model::{Report, TaskReport};
use crate::table::Table;

/// A language of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// A `table` a task, with the package booktabs.
    Latex,
    /// A line a task, head and metric, with all digits.
    Csv,
    /// Tables of GitHub's Markdown.
    Markdown,
    /// Entries for facefold and the network.
    Bibtex,
}

impl TableFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Latex, Self::Csv, Self::Markdown, Self::Bibtex];

    /// The name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Latex => "latex",
            Self::Csv => "csv",
            Self::Markdown => "markdown",
            Self::Bibtex => "bibtex",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Latex => "tables.tex",
            Self::Csv => "tables.csv",
            Self::Markdown => "tables.md",
            Self::Bibtex => "references.bib",
        }
    }
}

impl fmt::Display for TableFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TableFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.as_str() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("expected one of {names}, found `{text}`")
        })
    }
}

/// The files of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The tables.
    pub tables: PathBuf,
    /// Every plot as SVG, PDF and PNG.
    pub plots: Vec<PathBuf>,
}

impl Report {
    /// The tables of heads and of their comparison, or the references, as text.
    #[must_use]
    pub fn tables(&self, format: TableFormat) -> String {
        match format {
            TableFormat::Latex => latex::tables(self),
            TableFormat::Csv => csv::table(self),
            TableFormat::Markdown => markdown_tables(self),
            TableFormat::Bibtex => bibtex::entries(self),
        }
    }
}

/// The tables of a comparison of results ([`crate::compare_results`]) as text: each head on the common rows,
/// then every pair.
///
/// # Errors
/// [`ReportError::NoReferences`] for [`TableFormat::Bibtex`].
pub fn comparison_tables(
    comparisons: &[Comparison],
    format: TableFormat,
) -> Result<String, ReportError> {
    match format {
        TableFormat::Latex => Ok(latex::comparisons(comparisons)),
        TableFormat::Csv => Ok(csv::comparisons(comparisons)),
        TableFormat::Markdown => {
            let of_task = |comparison: &Comparison| {
                let name = contents::heading(comparison.task);
                format!("{name}\n\n{}", comparison::markdown(comparison))
            };
            Ok(comparisons.iter().map(of_task).collect::<Vec<_>>().join("\n"))
        }
        TableFormat::Bibtex => Err(ReportError::NoReferences),
    }
}

/// Writes the tables of a report into `directory`, which is created if need be, and every plot as SVG,
/// PDF and PNG into its `plots`.
///
/// # Errors
/// Any error of the file system, naming the path, or a plot that cannot be drawn.
pub fn export(
    report: &Report,
    format: TableFormat,
    directory: &Path,
) -> Result<Exported, ReportError> {
    let mut plots = Vec::new();
    for figure in contents::page(report).figures() {
        let path = directory.join("plots").join(&figure.file);
        let files = [
            ("svg", figure.drawing.svg().into_bytes()),
            ("pdf", figure.drawing.pdf()),
            ("png", figure.drawing.png()?),
        ];
        for (extension, bytes) in files {
            let path = path.with_extension(extension);
            write_atomic(&path, &bytes)?;
            plots.push(path);
        }
    }
    let tables = directory.join(format.file());
    write_atomic(&tables, report.tables(format).as_bytes())?;
    Ok(Exported { tables, plots })
}

fn markdown_tables(report: &Report) -> String {
    let of_task = |task: &TaskReport| {
        let name = contents::heading(task.result.task);
        let rows = grid(task);
        let mut heads = Table::new(rows.first().cloned().unwrap_or_default());
        for row in rows.into_iter().skip(1) {
            heads.row(row.iter().map(|cell| literal(cell)));
        }
        let compared = task.comparison.as_ref().map_or_else(String::new, |compared| {
            format!("\n{}\n\n{}", compared.summary(), comparison::pairs(compared).markdown())
        });
        format!("{name}\n\n{}{compared}", heads.markdown())
    };
    report.tasks.iter().map(of_task).collect::<Vec<_>>().join("\n")
}

/// Heads by metrics, a header first: the value over all test rows, with its interval where it has one.
fn grid(task: &TaskReport) -> Vec<Vec<String>> {
    let metrics = task.metrics();
    let header = metrics.iter().map(|&metric| format::heading(metric));
    let mut rows: Vec<Vec<String>> =
        vec![std::iter::once("head".to_owned()).chain(header).collect()];
    for head in &task.result.heads {
        let cells = metrics.iter().map(|metric| {
            let line = head.summary.iter().find(|line| line.metric == *metric);
            line.map_or_else(|| NONE.to_owned(), value)
        });
        rows.push(std::iter::once(head.name.clone()).chain(cells).collect());
    }
    rows
}

/// `4.05 (3.97 to 4.13)`.
fn value(line: &MetricSummary) -> String {
    let value = format::value(line.metric, line.pooled);
    match line.interval {
        Some(interval) => format!("{value} ({})", format::interval(line.metric, interval)),
        None => value,
    }
}
