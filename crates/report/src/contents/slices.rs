//! Slices of the best head, and its label-error candidates.

use facefold_core::Task;
use facefold_evaluate::attributes::AGE_GROUP;
use facefold_evaluate::label_errors::{CONFIDENT, TIMES_OFF};
use facefold_evaluate::slices::{LEAST_ROWS, LEAST_SUBJECTS};
use facefold_evaluate::{AttributeSlices, Metric, Slice, SliceReport};

use crate::figures;
use crate::format::{self, NONE};
use crate::inline::{literal, quoted};
use crate::model::{LabelErrorCount, TaskReport};
use crate::page::Page;
use crate::table::Table;

/// Rows of the table over all attributes.
const WORST: usize = 10;

pub(crate) fn write(page: &mut Page, task: &TaskReport) {
    if let Some(report) = &task.slices {
        page.folded(3, format!("Slices of {}", task.result.task), |page| {
            all(page, report);
            for attribute in &report.attributes {
                one(page, task, report, attribute);
            }
        });
    }
    if let Some(label_error_candidates) = &task.label_error_candidates {
        page.folded(3, format!("Label-error candidates of {}", task.result.task), |page| {
            page.paragraph(label_errors(task, label_error_candidates));
        });
    }
}

/// The worst slice in a sentence.
fn worst_in_words(report: &SliceReport) -> Option<String> {
    let (attribute, worst) = *report.worst_first().first()?;
    let metric = report.metric;
    let (unit, points) = if metric.is_fraction() { ("%", "points") } else { ("years", "years") };
    Some(format!(
        "The worst slice of `{}` is {attribute} {} with {} {unit}; its gap to the rest is {} \
         {points} (95 % interval {}).",
        report.head,
        quoted(&worst.name),
        format::value(metric, worst.value),
        format::value(metric, worst.gap),
        format::interval(metric, worst.gap_interval),
    ))
}

fn all(page: &mut Page, report: &SliceReport) {
    let metric = report.metric;
    if report.attributes.is_empty() {
        page.paragraph("The test rows have no attributes to slice by.");
        return;
    }
    if let Some(worst) = worst_in_words(report) {
        page.paragraph(worst);
    }
    page.paragraph(format!(
        "`{}` on slices of its {} test rows; over all of them: {} {}. The gap is a slice less all \
         other test rows. Every table begins with the worst slice. Intervals draw subjects ({} \
         draws, the same for all slices) and are not corrected for the number of slices: of twenty \
         gaps that mean nothing, one has an interval without 0. Where a proportion is equal for all \
         subjects of a slice, as where no error was seen, its interval is the exact one of Clopper \
         and Pearson with subjects as trials. Numbers are cut at their quintiles. \
         Slices of fewer than {LEAST_ROWS} rows or {LEAST_SUBJECTS} subjects are too small to \
         measure. Luminance and sharpness are those of the aligned crop.",
        report.head,
        format::count(report.rows),
        format::heading(metric),
        format::value(metric, report.value),
        format::count(report.draws),
    ));
    let mut table = Table::new(header("slice", report));
    for (attribute, slice) in report.worst_first().into_iter().take(WORST) {
        table.row(cells(format!("{attribute}: {}", literal(&slice.name)), report, slice));
    }
    page.table(table);
}

fn one(page: &mut Page, task: &TaskReport, report: &SliceReport, attribute: &AttributeSlices) {
    if !attribute.slices.is_empty() {
        let mut table = Table::new(header(&attribute.name, report));
        for slice in &attribute.slices {
            table.row(cells(literal(&slice.name), report, slice));
        }
        page.table(table);
    }
    let mut notes = Vec::new();
    if attribute.unknown_rows > 0 {
        notes.push(format!(
            "{}: unknown for {} rows.",
            attribute.name,
            format::count(attribute.unknown_rows)
        ));
    }
    if !attribute.small.is_empty() {
        let small = attribute.small.iter().map(|slice| {
            let (rows, subjects) = (format::count(slice.rows), format::count(slice.subjects));
            format!("{} ({rows} rows, {subjects} subjects)", quoted(&slice.name))
        });
        notes.push(format!(
            "{}, too small: {}.",
            attribute.name,
            small.collect::<Vec<_>>().join(", ")
        ));
    }
    if !notes.is_empty() {
        page.paragraph(notes.join(" "));
    }
    // Errors by age group stand above, by rising age.
    let shown = task.result.task == Task::Age && attribute.name == AGE_GROUP;
    let figure = figures::slices_of(task.result.task, report, attribute);
    if let Some(figure) = figure.filter(|_| !shown) {
        page.figure(figure);
    }
}

/// The columns of slices whose intervals around ages were tried.
fn interval_headings(report: &SliceReport) -> Vec<String> {
    let mut slices = report.attributes.iter().flat_map(|attribute| &attribute.slices);
    if slices.all(|slice| slice.intervals.is_none()) {
        return Vec::new();
    }
    ["inside 80 % intervals (%)", "95 % interval", "width (years)"].map(str::to_owned).to_vec()
}

/// The cells under [`interval_headings`].
fn interval_cells(report: &SliceReport, slice: &Slice) -> Vec<String> {
    let Some(intervals) = &slice.intervals else {
        return vec![NONE.to_owned(); interval_headings(report).len()];
    };
    vec![
        format::value(Metric::CumulativeScore5, intervals.coverage),
        format::interval(Metric::CumulativeScore5, intervals.coverage_interval),
        format::value(Metric::MeanAbsoluteError, intervals.width),
    ]
}

fn header(first: &str, report: &SliceReport) -> Vec<String> {
    let secondary = report.attributes.iter().flat_map(|attribute| &attribute.slices).next();
    let secondary = secondary.map_or(&[][..], |slice| &slice.secondary);
    [first, "rows", "subjects", &format::heading(report.metric), "95 % interval"]
        .map(str::to_owned)
        .into_iter()
        .chain(["gap to the rest", "95 % interval of the gap"].map(str::to_owned))
        .chain(secondary.iter().map(|(metric, _)| format::heading(*metric)))
        .chain(interval_headings(report))
        .collect()
}

fn cells(name: String, report: &SliceReport, slice: &Slice) -> Vec<String> {
    let metric = report.metric;
    [
        name,
        format::count(slice.rows),
        format::count(slice.subjects),
        format::value(metric, slice.value),
        format::interval(metric, slice.interval),
        format::value(metric, slice.gap),
        format::interval(metric, slice.gap_interval),
    ]
    .into_iter()
    .chain(slice.secondary.iter().map(|&(metric, value)| format::value(metric, value)))
    .chain(interval_cells(report, slice))
    .collect()
}

fn label_errors(task: &TaskReport, label_error_candidates: &LabelErrorCount) -> String {
    let LabelErrorCount { head, found, listed, file } = label_error_candidates;
    let rule = if task.result.classes.is_empty() {
        format!("predicts an age that is off by at least {TIMES_OFF} times its mean error")
    } else {
        format!(
            "predicts another class under every seed, with a probability of at least {:.0} %",
            100.0 * CONFIDENT
        )
    };
    format!(
        "For {} pictures `{head}`, which was not trained on them, {rule}: their labels may be wrong, \
         or the pictures hard. The {} with the highest scores are listed in `{file}`, not in this \
         report.",
        format::count(*found),
        format::count(*listed),
    )
}
