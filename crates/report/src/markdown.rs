//! A report as Markdown: first what the numbers rest on, then the numbers, then the details.

mod task;

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::format;
use crate::model::{Dataset, Provenance, Report};
use crate::table::Table;

/// The report as Markdown. Plots are linked as `plots/*.svg`.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let tasks: Vec<&str> = report.tasks.iter().map(|task| task.result.task.as_str()).collect();
    let mut text = format!("# {} on {}\n\n", tasks.join(", "), report.dataset.kind);
    for warning in &report.warnings {
        paragraph(&mut text, &format!("> **{warning}**"));
    }
    paragraph(&mut text, &opening(report));
    for task in &report.tasks {
        task::write(&mut text, task);
    }
    samples(&mut text, report);
    provenance(&mut text, &report.provenance);
    terms(&mut text, &report.provenance);
    text
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

fn samples(text: &mut String, report: &Report) {
    let dataset = &report.dataset;
    paragraph(text, "## Rows used and dropped");
    let named =
        |name: &Option<String>| name.as_ref().map_or("not used".to_owned(), |n| format!("`{n}`"));
    paragraph(
        text,
        &format!(
            "Label policy: {}. Age groups: {}.",
            named(&dataset.label_policy),
            named(&dataset.age_groups)
        ),
    );
    for note in &dataset.notes {
        paragraph(text, note);
    }
    let mut table = Table::new(["label rows", "count"]);
    reasons(&mut table, "all", dataset.samples, &dataset.rejected);
    table.row(["= with an embedding".to_owned(), format::count(dataset.embedded)]);
    paragraph(text, table.markdown().trim_end());
    let rejected: usize = dataset.rejected.values().sum();
    if dataset.embedded + rejected != dataset.samples {
        paragraph(text, "**These counts do not add up; do not rely on this report.**");
    }
    for task in &report.tasks {
        let mut table = Table::new([format!("rows for {}", task.result.task), "count".to_owned()]);
        reasons(&mut table, "all", task.rows.samples, &task.rows.dropped);
        table.row(["= used".to_owned(), format::count(task.rows.used)]);
        paragraph(text, table.markdown().trim_end());
        if !task.rows.reconciles() {
            paragraph(text, "**These counts do not add up; do not rely on this report.**");
        }
    }
}

fn reasons(table: &mut Table, first: &str, total: usize, left_out: &BTreeMap<String, usize>) {
    table.row([first.to_owned(), format::count(total)]);
    for (reason, &rows) in left_out {
        table.row([format!("− {reason}"), format::count(rows)]);
    }
}

fn provenance(text: &mut String, provenance: &Provenance) {
    paragraph(text, "## How to repeat it");
    paragraph(text, &format!("```sh\n{}\n```", provenance.command));
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
    paragraph(text, table.markdown().trim_end());
}

fn terms(text: &mut String, provenance: &Provenance) {
    paragraph(text, "## Terms and limits");
    paragraph(
        text,
        &format!(
            "Weights: {}. Ages and genders are what annotators guessed from pictures, not what the \
             people said of themselves; gender is recorded as one of two. The numbers hold for \
             pictures like these and say nothing of other people, cameras or years.",
            provenance.network.licence.trim_end_matches('.')
        ),
    );
}

/// Adds a block and the empty line after it.
fn paragraph(text: &mut String, block: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{block}\n");
}
