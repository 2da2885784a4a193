//! What a report says, from top to bottom: a summary, the numbers task by task, and what they
//! rest on.

mod search;
mod slices;
mod summary;
mod task;
pub(crate) mod thresholds;

use std::collections::BTreeMap;

use crate::format;
use crate::model::{Dataset, Provenance, Report};
use crate::page::{Block, Page};
use crate::table::Table;

pub(crate) fn page(report: &Report) -> Page {
    let tasks: Vec<&str> = report.tasks.iter().map(|task| task.result.task.as_str()).collect();
    let mut page = Page::default();
    page.push(Block::Title(format!("{} on {}", tasks.join(", "), report.dataset.kind)));
    for warning in &report.warnings {
        page.push(Block::Warning(warning.clone()));
    }
    page.paragraph(opening(report));
    summary::write(&mut page, report);
    for task in &report.tasks {
        task::write(&mut page, task);
    }
    samples(&mut page, report);
    provenance(&mut page, &report.provenance);
    terms(&mut page, &report.provenance);
    page
}

fn opening(report: &Report) -> String {
    let Provenance { network, features, .. } = &report.provenance;
    let Dataset { kind, root, samples, embedded, .. } = &report.dataset;
    format!(
        "Network: `{}` ({} precision, fingerprint `{}`), features: {features}. Samples: {kind} \
         (`{root}`), {} of {} label rows have an embedding.",
        network.name,
        network.precision,
        network.fingerprint,
        format::count(*embedded),
        format::count(*samples),
    )
}

fn samples(page: &mut Page, report: &Report) {
    let dataset = &report.dataset;
    page.section("Rows used and dropped");
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
    let mut table = Table::new(["label rows", "count"]);
    reasons(&mut table, "all", dataset.samples, &dataset.rejected);
    table.row(["= with an embedding".to_owned(), format::count(dataset.embedded)]);
    page.table(table);
    let rejected: usize = dataset.rejected.values().sum();
    if dataset.embedded + rejected != dataset.samples {
        page.paragraph("**These counts do not add up; do not rely on this report.**");
    }
    for task in &report.tasks {
        let mut table = Table::new([format!("rows for {}", task.result.task), "count".to_owned()]);
        reasons(&mut table, "all", task.rows.samples, &task.rows.dropped);
        table.row(["= used".to_owned(), format::count(task.rows.used)]);
        page.table(table);
        if !task.rows.reconciles() {
            page.paragraph("**These counts do not add up; do not rely on this report.**");
        }
    }
}

fn reasons(table: &mut Table, first: &str, total: usize, left_out: &BTreeMap<String, usize>) {
    table.row([first.to_owned(), format::count(total)]);
    for (reason, &rows) in left_out {
        table.row([format!("− {reason}"), format::count(rows)]);
    }
}

fn provenance(page: &mut Page, provenance: &Provenance) {
    page.section("How to repeat it");
    page.push(Block::Code("sh", provenance.command.clone()));
    let machine = &provenance.machine;
    let commit = provenance.commit.as_deref().unwrap_or("not known");
    let mut table = Table::new(["", ""]);
    for (name, value) in [
        ("version", format!("facefold {} (commit {commit})", provenance.version)),
        ("begun", provenance.date.clone()),
        ("took", format::duration(provenance.seconds)),
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

fn terms(page: &mut Page, provenance: &Provenance) {
    page.section("Terms and limits");
    page.paragraph(format!(
        "Weights: {}. Ages and genders are what annotators guessed from pictures, not what the \
             people said of themselves; gender is recorded as one of two. The numbers hold for \
             pictures like these and say nothing of other people, cameras or years.",
        provenance.network.licence.trim_end_matches('.')
    ));
}
