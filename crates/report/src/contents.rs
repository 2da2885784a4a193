//! The contents of a report, from top to bottom: a summary, the numbers task by task, and what they
//! rest on.

mod search;
mod slices;
mod summary;
mod task;
pub(crate) mod thresholds;

use std::collections::BTreeMap;

use facefold_core::Task;

use crate::format;
use crate::inline::{literal, quoted};
use crate::model::{Dataset, Provenance, Report, RowCounts};
use crate::page::{Block, Page};
use crate::table::Table;

pub(crate) fn page(report: &Report) -> Page {
    let tasks: Vec<&str> = report.tasks.iter().map(|task| task.result.task.as_str()).collect();
    let mut page = Page::default();
    page.push(Block::Title(format!("{} on {}", tasks.join(", "), report.dataset.kind)));
    for warning in &report.warnings {
        page.push(Block::Warning(warning.clone()));
    }
    let rows = || report.tasks.iter().map(|task| (task.result.task, &task.rows));
    inconsistencies(&mut page, &report.dataset, rows());
    summary::write(&mut page, report);
    page.paragraph(opening(&report.provenance, &report.dataset));
    for task in &report.tasks {
        task::write(&mut page, task);
    }
    samples(&mut page, &report.dataset, rows());
    provenance(&mut page, &report.provenance);
    terms(&mut page, &report.provenance);
    page
}

pub(crate) fn opening(provenance: &Provenance, dataset: &Dataset) -> String {
    let Provenance { network, features, .. } = provenance;
    let Dataset { kind, root, samples, embedded, .. } = dataset;
    format!(
        "Network: `{}` ({} precision, fingerprint `{}`), features: {features}. Samples: {kind} \
         ({}), {} of {} label rows have an embedding.",
        network.name,
        network.precision,
        network.fingerprint,
        quoted(root),
        format::count(*embedded),
        format::count(*samples),
    )
}

/// A warning for every table of rows whose counts do not add up.
pub(crate) fn inconsistencies<'a>(
    page: &mut Page,
    dataset: &Dataset,
    tasks: impl Iterator<Item = (Task, &'a RowCounts)>,
) {
    let mut warn = |rows: &str| {
        page.push(Block::Warning(format!(
            "The counts of {rows} do not add up; do not rely on this report."
        )));
    };
    if dataset.embedded + dataset.rejected.values().sum::<usize>() != dataset.samples {
        warn("label rows");
    }
    for (task, _) in tasks.filter(|(_, rows)| !rows.reconciles()) {
        warn(&format!("rows for {task}"));
    }
}

pub(crate) fn samples<'a>(
    page: &mut Page,
    dataset: &Dataset,
    tasks: impl Iterator<Item = (Task, &'a RowCounts)>,
) {
    page.folded(2, "Rows used and dropped", |page| rows_used(page, dataset, tasks));
}

fn rows_used<'a>(
    page: &mut Page,
    dataset: &Dataset,
    tasks: impl Iterator<Item = (Task, &'a RowCounts)>,
) {
    let named =
        |name: &Option<String>| name.as_ref().map_or("not used".to_owned(), |n| format!("`{n}`"));
    page.paragraph(format!(
        "Label policy: {}. Age groups: {}.",
        named(&dataset.label_policy),
        named(&dataset.age_groups)
    ));
    for note in &dataset.notes {
        page.paragraph(note);
    }
    if !dataset.sets.is_empty() {
        let mut table =
            Table::new(["data set", "kind", "serves", "label rows", "with an embedding"]);
        for set in &dataset.sets {
            let (samples, embedded) = (format::count(set.samples), format::count(set.embedded));
            let name = literal(set.name.as_str());
            table.row([name, set.kind.clone(), set.serves.clone(), samples, embedded]);
        }
        page.table(table);
    }
    let mut table = Table::new(["label rows", "count"]);
    reasons(&mut table, "all", dataset.samples, &dataset.rejected);
    table.row(["= with an embedding".to_owned(), format::count(dataset.embedded)]);
    page.table(table);
    for (task, rows) in tasks {
        let mut table = Table::new([format!("rows for {task}"), "count".to_owned()]);
        reasons(&mut table, "all", rows.samples, &rows.dropped);
        table.row(["= used".to_owned(), format::count(rows.used)]);
        page.table(table);
        if !rows.of_sets.is_empty() {
            page.paragraph(of_sets(task, rows));
        }
    }
}

/// The rows used of each data set, in a sentence.
fn of_sets(task: Task, rows: &RowCounts) -> String {
    let each = rows.of_sets.iter().map(|(set, &count)| match count {
        0 => {
            let set = literal(set.as_str());
            format!("{set} none, as it has no label for this task or no row that is used")
        }
        _ => format!("{} {}", literal(set.as_str()), format::count(count)),
    });
    format!("Rows used for {task} by data set: {}.", each.collect::<Vec<_>>().join(", "))
}

fn reasons(table: &mut Table, first: &str, total: usize, left_out: &BTreeMap<String, usize>) {
    table.row([first.to_owned(), format::count(total)]);
    for (reason, &rows) in left_out {
        table.row([format!("− {reason}"), format::count(rows)]);
    }
}

pub(crate) fn provenance(page: &mut Page, provenance: &Provenance) {
    page.folded(2, "Reproduction", |page| reproduction(page, provenance));
}

fn reproduction(page: &mut Page, provenance: &Provenance) {
    page.push(Block::Code("sh", provenance.command.clone()));
    let machine = &provenance.machine;
    let commit = provenance.commit.as_deref().unwrap_or("not known");
    let mut table = Table::new(["", ""]);
    for (name, value) in [
        ("version", format!("facefold {} (commit {commit})", provenance.version)),
        ("started", provenance.date.clone()),
        ("duration", format::duration(provenance.seconds)),
        ("processor", machine.cpu.clone()),
        ("logical cores", machine.cores.to_string()),
        ("memory", format::gibibytes(machine.memory)),
        ("system", machine.system.clone()),
        ("network", provenance.network.name.clone()),
        ("fingerprint", format!("`{}`", provenance.network.fingerprint)),
    ] {
        table.row([name.to_owned(), value]);
    }
    page.table(table);
}

pub(crate) fn terms(page: &mut Page, provenance: &Provenance) {
    page.section("Licence and limitations");
    page.paragraph(format!(
        "Weights: {}. Ages and genders are annotators' guesses from pictures, not \
             self-reported; gender is recorded as one of two. The numbers hold for \
             pictures like these, not for other people, cameras or years.",
        provenance.network.licence.trim_end_matches('.')
    ));
}

/// A task's name in a sentence: `age group`.
pub(crate) fn task_name(task: Task) -> String {
    task.as_str().replace('-', " ")
}

/// A task's name as a heading: `Age group`.
pub(crate) fn heading(task: Task) -> String {
    let name = task_name(task);
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
