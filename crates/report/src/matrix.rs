//! The matrix of training and test sets as Markdown, JSON and for the terminal.

use std::path::{Path, PathBuf};

use facefold_core::files::write_atomic;
use facefold_evaluate::{
    CellMetric, CellOutcome, HeadMatrix, MatrixCell, MatrixResult, MeasuredCell, Metric, Protocol,
};

use crate::contents;
use crate::error::ReportError;
use crate::format::{self, NONE};
use crate::inline::literal;
use crate::markdown::render;
use crate::model::{MatrixReport, TaskMatrix};
use crate::page::{Block, Page};
use crate::sealed::sealed;
use crate::table::Table;

/// Stands over every table of figures.
const CORNER: &str = "trained on ↓, tested on →";

/// The report as Markdown: a table a metric, then the rows behind the figures and what they rest
/// on.
#[must_use]
pub fn markdown(report: &MatrixReport) -> String {
    render(&page(report))
}

/// The figures that decide, for the terminal.
#[must_use]
pub fn terminal(report: &MatrixReport) -> String {
    let mut blocks: Vec<String> =
        report.warnings.iter().map(|warning| format!("! {warning}\n")).collect();
    for task in &report.tasks {
        for head in &task.result.heads {
            for metric in measured_metrics(&task.result, head) {
                let heading = format::heading(metric);
                blocks.push(format!("\n{} · {} · {heading}\n", task.result.task, head.name));
                blocks.push(figures(&task.result, head, metric).terminal());
            }
        }
    }
    blocks.concat()
}

/// Writes `report.md` and `report.json` into `directory`, which is created if need be, and gives
/// the path of the Markdown. The JSON comes last: where it is, the rest is.
///
/// # Errors
/// Any error of the file system, naming the path.
pub fn write(report: &MatrixReport, directory: &Path) -> Result<PathBuf, ReportError> {
    let path = directory.join("report.md");
    write_atomic(&path, markdown(report).as_bytes())?;
    let json_path = directory.join("report.json");
    let json = sealed(report).map_err(|error| ReportError::Invalid {
        path: json_path.clone(),
        message: error.to_string(),
    })?;
    write_atomic(&json_path, &json)?;
    Ok(path)
}

fn page(report: &MatrixReport) -> Page {
    let tasks: Vec<&str> = report.tasks.iter().map(|task| task.result.task.as_str()).collect();
    let mut page = Page::default();
    page.push(Block::Title(format!(
        "{} across data sets: {}",
        tasks.join(", "),
        report.dataset.kind
    )));
    for warning in &report.warnings {
        page.push(Block::Warning(warning.clone()));
    }
    let rows = || report.tasks.iter().map(|task| (task.result.task, &task.rows));
    contents::inconsistencies(&mut page, &report.dataset, rows());
    page.paragraph(contents::opening(&report.provenance, &report.dataset));
    page.paragraph(
        "Rows are training sets, columns test sets. On the diagonal are results within one set, by \
         folds by subject (its published folds where it has them). Elsewhere the head is fitted on all of one set, without the subjects that have a picture in \
         the test set, and tested on all of the other; in the row **all others** it is fitted on all \
         sets but the one tested on. No subject is in both. In brackets are 95 % intervals \
         from drawing the test subjects with replacement; they do not include the variation of training sets.",
    );
    for task in &report.tasks {
        of_task(&mut page, task);
    }
    contents::samples(&mut page, &report.dataset, rows());
    contents::provenance(&mut page, &report.provenance);
    contents::terms(&mut page, &report.provenance);
    page
}

fn of_task(page: &mut Page, task: &TaskMatrix) {
    let result = &task.result;
    page.section(contents::heading(result.task));
    let seeds: Vec<String> = result.seeds.iter().map(ToString::to_string).collect();
    page.paragraph(format!(
        "{} features, seed {} for the splits, fits with seeds {}.",
        format::count(result.features),
        result.seed,
        seeds.join(", ")
    ));
    for head in &result.heads {
        page.subsection(format!("{} by {}", contents::heading(result.task), head.name));
        for metric in measured_metrics(result, head) {
            page.paragraph(format!("{}:", format::heading(metric)));
            page.table(figures(result, head, metric));
        }
    }
    if let Some(head) = result.heads.first() {
        page.subsection(format!("Rows of {}", result.task));
        page.table(rows(head));
        notes(page, head);
    }
    let settings: serde_json::Map<String, serde_json::Value> =
        result.heads.iter().map(|head| (head.name.clone(), head.settings.clone())).collect();
    let settings = serde_json::Value::Object(settings);
    page.folded(3, format!("Settings of the heads for {}", result.task), |page| {
        page.push(Block::Code("json", format!("{settings:#}")));
    });
}

/// The metrics that at least one cell has.
fn measured_metrics(result: &MatrixResult, head: &HeadMatrix) -> Vec<Metric> {
    let known = |metric: &&Metric| {
        head.cells.iter().any(|cell| measured(cell).is_some_and(|c| c.get(**metric).is_some()))
    };
    Metric::across_sets(result.task).iter().filter(known).copied().collect()
}

fn measured(cell: &MatrixCell) -> Option<&MeasuredCell> {
    match &cell.outcome {
        CellOutcome::Measured(measured) => Some(measured),
        CellOutcome::Missing(_) => None,
    }
}

/// One metric of all cells.
fn figures(result: &MatrixResult, head: &HeadMatrix, metric: Metric) -> Table {
    let columns = result.sets.iter().map(|set| literal(set.name.as_str()));
    let mut table = Table::new(std::iter::once(CORNER.to_owned()).chain(columns));
    for trained_on in head.trained_on() {
        let cells = result.sets.iter().map(|set| {
            let cell = head.cell(trained_on, &set.name).and_then(measured);
            cell.and_then(|cell| cell.get(metric)).map_or_else(|| NONE.to_owned(), figure)
        });
        table.row(std::iter::once(literal(&trained_on.to_string())).chain(cells));
    }
    table
}

/// `4.15 (4.07 to 4.23)`.
fn figure(found: &CellMetric) -> String {
    let value = format::value(found.metric, found.value);
    match found.interval {
        Some(interval) => format!("{value} ({})", format::interval(found.metric, interval)),
        None => value,
    }
}

/// The rows behind the cells, which are the same for all heads.
fn rows(head: &HeadMatrix) -> Table {
    let mut table = Table::new([
        "trained on → tested on",
        "split",
        "training",
        "validation",
        "test",
        "subjects",
    ]);
    for cell in &head.cells {
        let name = literal(&format!("{} → {}", cell.trained_on, cell.tested_on));
        let dash = || NONE.to_owned();
        match measured(cell) {
            Some(found) => table.row([
                name,
                found
                    .protocol
                    .as_ref()
                    .map_or_else(|| "whole sets".to_owned(), Protocol::to_string),
                format::count(found.training),
                format::count(found.validation),
                format::count(found.test),
                format::count(found.subjects),
            ]),
            None => table.row([name, dash(), dash(), dash(), dash(), dash()]),
        }
    }
    table
}

/// Why cells are empty, and what was left out of the others.
fn notes(page: &mut Page, head: &HeadMatrix) {
    let note = |cell: &MatrixCell| {
        let notes = match &cell.outcome {
            CellOutcome::Missing(reason) => vec![reason.clone()],
            CellOutcome::Measured(found) => found.notes.clone(),
        };
        let place = literal(&format!("{} → {}", cell.trained_on, cell.tested_on));
        notes.into_iter().map(move |note| format!("{place}: {note}.")).collect::<Vec<_>>()
    };
    let notes: Vec<String> = head.cells.iter().flat_map(note).collect();
    if !notes.is_empty() {
        page.push(Block::List(notes));
    }
}
