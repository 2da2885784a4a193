//! One task of a report: its heads, their comparison, confusion matrices or errors by age; then, folded,
//! slices, folds, fits, calibration and settings.

use std::collections::BTreeMap;

use facefold_core::Task;
use facefold_evaluate::statistics::bootstrap::Interval;
use facefold_evaluate::{
    AgeMetrics, ClassMetrics, CvResult, ExactAgeMetrics, FamiliarityCheck, FitResult, HeadResult,
    IntervalCheck, Metric, Metrics, SplitSummary,
};

use super::{search, slices, thresholds};
use crate::comparison;
use crate::figures::{self, Figure, learned};
use crate::format::{self, NONE};
use crate::inline::{literal, quoted};
use crate::model::TaskReport;
use crate::page::{Block, Page};
use crate::table::Table;
use crate::terminal::{by_age, heads, rows, seeds};

pub(crate) fn write(page: &mut Page, task: &TaskReport) {
    let result = &task.result;
    page.section(super::heading(result.task));
    page.paragraph(format!(
        "{} of {} subjects, {} features, protocol `{}`, seed {} for the split, fits with seeds {}.",
        rows(result),
        format::count(result.subjects),
        format::count(result.features),
        result.protocol,
        result.seed,
        seeds(result)
    ));
    page.table(heads(task));
    page.paragraph(deviations(result));
    if let Some(compared) = &task.comparison {
        page.subsection(format!("Comparison of the {} heads", result.task));
        comparison::of_report(page, compared);
        page.folded(3, format!("Tests of the {} heads", result.task), |page| {
            comparison::details(page, compared);
        });
    }
    confusion(page, result);
    error_by_age(page, task);
    thresholds::write(page, result);
    folded(page, task);
}

/// What a reader needs who has questions.
fn folded(page: &mut Page, task: &TaskReport) {
    type Part = fn(&mut Page, &CvResult);
    const PARTS: [(&str, Part); 11] = [
        ("Protocol", protocol),
        ("Folds", folds),
        ("Training, validation and test scores", scores),
        ("Recall of the classes", recalls),
        ("Age ranges", age_ranges),
        ("Errors", years),
        ("Predicted and true ages", predicted_ages),
        ("Fits", fits),
        ("Calibration", calibration),
        ("ROC curves", roc),
        ("Familiarity", familiarity),
    ];
    let result = &task.result;
    slices::write(page, task);
    for found in &task.searches {
        search::write(page, result, found);
    }
    for (name, write) in PARTS {
        page.folded(3, format!("{name} of {}", result.task), |page| write(page, result));
    }
    page.folded(3, format!("Settings of the {} heads", result.task), |page| settings(page, result));
}

fn deviations(result: &CvResult) -> String {
    let folds = if result.splits.len() > 1 {
        "The standard deviation (sd) over folds is that of the folds' values, averaged over seeds."
    } else {
        "One split only, so there is no standard deviation over folds."
    };
    format!("All values are over all test rows. {folds}")
}

/// The confusion matrix of every head but the baseline.
fn confusion(page: &mut Page, result: &CvResult) {
    let figures: Vec<Figure> =
        learned(result).filter_map(|head| figures::confusion_of(result, head)).collect();
    if figures.is_empty() {
        return;
    }
    page.subsection(format!("Confusion matrices of {}", result.task));
    for figure in figures {
        page.figure(figure);
    }
}

/// Errors on children and old people, and of the best head by age group.
fn error_by_age(page: &mut Page, task: &TaskReport) {
    if task.result.task != Task::Age {
        return;
    }
    let (table, figure) = (by_age(task), task.slices.as_ref().and_then(figures::error_by_age));
    if table.is_none() && figure.is_none() {
        return;
    }
    page.subsection("Error by age");
    if let Some(table) = table {
        page.table(table);
    }
    if let Some(figure) = figure {
        page.figure(figure);
    }
}

fn protocol(page: &mut Page, result: &CvResult) {
    page.paragraph(format!(
        "{} About an eighth of the training rows, exclusive by subject, is the validation set: epochs \
             and other choices are made on it and never on test rows.",
        result.protocol.explanation()
    ));
    let mut table = Table::new(["split", "training", "validation", "test", "shared test rows"]);
    for split in &result.splits {
        let counts = [split.train, split.validation, split.test, split.shared_test_rows];
        table.row(std::iter::once(literal(&split.name)).chain(counts.map(format::count)));
    }
    page.table(table);
    for split in &result.splits {
        for note in &split.notes {
            page.paragraph(format!("{}: {note}.", literal(&split.name)));
        }
        if !split.untrained_classes.is_empty() {
            page.paragraph(untrained(split));
        }
    }
}

/// Classes that a split tests without training rows of them.
fn untrained(split: &SplitSummary) -> String {
    let classes = split.untrained_classes.iter();
    let named: Vec<String> = classes
        .map(|(class, &rows)| format!("{} ({})", quoted(class), format::count(rows)))
        .collect();
    format!(
        "{}: classes with test rows but no training row, which no head can predict: {}.",
        literal(&split.name),
        named.join(", ")
    )
}

/// Every metric by fold and head, averaged over seeds.
fn folds(page: &mut Page, result: &CvResult) {
    for metric in result.metrics() {
        let heads = result.heads.iter().map(|head| head.name.clone());
        let mut table = Table::new(std::iter::once(format::heading(metric)).chain(heads));
        for split in &result.splits {
            let cells = result.heads.iter().map(|head| {
                let fits = head.fits.iter().filter(|fit| fit.split == split.name);
                format::optional(metric, average(fits, metric))
            });
            table.row(std::iter::once(literal(&split.name)).chain(cells));
        }
        page.table(table);
    }
}

fn average<'a>(fits: impl Iterator<Item = &'a FitResult>, metric: Metric) -> Option<f64> {
    let values: Vec<f64> = fits.map(|fit| fit.test.get(metric)).collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn scores(page: &mut Page, result: &CvResult) {
    let mut table = Table::new([
        "head",
        "metric",
        "training",
        "validation",
        "test",
        "sd over folds",
        "sd over seeds",
        "95 % interval",
    ]);
    for head in &result.heads {
        for line in &head.summary {
            let metric = line.metric;
            table.row([
                head.name.clone(),
                format::heading(metric),
                format::optional(metric, line.train),
                format::optional(metric, line.validation),
                format::value(metric, line.pooled),
                format::optional(metric, line.deviation_over_folds),
                format::optional(metric, line.deviation_over_seeds),
                line.interval
                    .map_or_else(|| NONE.to_owned(), |interval| format::interval(metric, interval)),
            ]);
        }
    }
    page.table(table);
}

fn class_metrics(head: &HeadResult) -> Option<&ClassMetrics> {
    match &head.pooled {
        Metrics::Classes(classes) => Some(classes),
        Metrics::Regression(_) => None,
    }
}

fn recalls(page: &mut Page, result: &CvResult) {
    if result.classes.is_empty() {
        return;
    }
    let heads = result.heads.iter().map(|head| head.name.clone());
    let header = ["recall (%)".to_owned(), "rows".to_owned()];
    let mut table = Table::new(header.into_iter().chain(heads));
    for (class, name) in result.classes.iter().enumerate() {
        let untrained = result.untrained_rows(name) * result.seeds.len();
        let recalls = result.heads.iter().map(|head| {
            let Some(metrics) = class_metrics(head) else { return NONE.to_owned() };
            let tested: u64 = metrics.confusion[class].iter().sum();
            if untrained > 0 && untrained as u64 == tested {
                return "never trained on".to_owned();
            }
            format::optional(Metric::Accuracy, metrics.recall[class])
        });
        let rows = format::count(result.class_rows.get(class).copied().unwrap_or(0));
        table.row([literal(name), rows].into_iter().chain(recalls));
    }
    page.table(table);
}

/// What was measured on test rows whose age is known as a range.
fn age_ranges(page: &mut Page, result: &CvResult) {
    let mut table = Table::new(["head", "inside the range (%)", "mean distance (years)"]);
    for head in &result.heads {
        let Metrics::Regression(AgeMetrics { ranges: Some(ranges), .. }) = &head.pooled else {
            continue;
        };
        table.row([
            head.name.clone(),
            format::value(Metric::InsideRange, ranges.inside),
            format::value(Metric::RangeDistance, ranges.mean_distance),
        ]);
    }
    if table.rows().is_empty() {
        return;
    }
    page.paragraph(format!(
        "On {} whose age label is a range: the fraction predicted inside it, both ends included, \
         and the mean distance to it, which is 0 inside; in completed years, so that 29.6 is inside 20-29.",
        test_rows(result, AgeMetrics::range_rows),
    ));
    page.table(table);
}

/// `1,234 test rows`, of all splits under one seed.
fn test_rows(result: &CvResult, of: impl Fn(&AgeMetrics) -> usize) -> String {
    let rows = result.heads.first().map_or(0, |head| match &head.pooled {
        Metrics::Regression(years) => of(years) / result.seeds.len().max(1),
        Metrics::Classes(_) => 0,
    });
    format!("{} test rows", format::count(rows))
}

fn exact_years(head: &HeadResult) -> Option<&ExactAgeMetrics> {
    match &head.pooled {
        Metrics::Regression(years) => years.exact.as_ref(),
        Metrics::Classes(_) => None,
    }
}

fn years(page: &mut Page, result: &CvResult) {
    let Some(figure) = figures::cumulative_of(result) else { return };
    let limits = [1_usize, 3, 5, 7, 10, 15];
    let header = ["head".to_owned(), "mean error (years)".to_owned()];
    let mut table =
        Table::new(header.into_iter().chain(limits.map(|limit| format!("CS@{limit} (%)"))));
    for head in &result.heads {
        let Some(years) = exact_years(head) else { continue };
        let first = [head.name.clone(), format::value(Metric::MeanAbsoluteError, years.mean_error)];
        let fractions = limits.map(|limit| {
            let share = years.cumulative_score.get(limit).copied();
            format::optional(Metric::CumulativeScore5, share)
        });
        table.row(first.into_iter().chain(fractions));
    }
    page.table(table);
    page.paragraph(format!(
        "MAE and CS@n on {} with exact years. CS@n is the fraction of them with an error of at most n \
         years; a mean error above 0 means that ages are overestimated.",
        test_rows(result, AgeMetrics::exact_rows),
    ));
    intervals(page, result);
    page.figure(figure);
}

/// Coverage of the intervals around predicted ages on the test rows of each split.
fn intervals(page: &mut Page, result: &CvResult) {
    let mut table = Table::new([
        "head",
        "tested on",
        "rows",
        "inside (%)",
        "95 % interval",
        "width (years)",
        "sets left out",
    ]);
    for head in &result.heads {
        for split in &result.splits {
            let fits = head.fits.iter().filter(|fit| fit.split == split.name);
            let checks: Vec<&IntervalCheck> =
                fits.filter_map(|fit| fit.intervals.as_ref()).collect();
            let Some(first) = checks.first() else { continue };
            let mean = |get: fn(&IntervalCheck) -> f64| {
                checks.iter().map(|check| get(check)).sum::<f64>() / checks.len() as f64
            };
            let interval = Interval {
                low: mean(|check| check.coverage_interval.low),
                high: mean(|check| check.coverage_interval.high),
            };
            table.row([
                head.name.clone(),
                literal(&split.name),
                format::count(first.rows),
                format::value(Metric::CumulativeScore5, mean(|check| check.coverage)),
                format::interval(Metric::CumulativeScore5, interval),
                format::value(Metric::MeanAbsoluteError, mean(|check| check.width)),
                first.sets_left_out.to_string(),
            ]);
        }
    }
    if table.rows().is_empty() {
        return;
    }
    page.paragraph(
        "Coverage of 80 % prediction intervals (conformal, in units of the predicted standard \
         deviation) on the test rows, averaged over seeds; an age range counts with the \
         probability that the age is inside, estimated from the errors of all rows (Turnbull). \
         The intervals are calibrated on the validation rows and on the training rows of data \
         sets left out in turn, with equal weight a set; with 0 sets left out they are calibrated \
         inside the data sets that the head was fitted on, and cover less on other pictures.",
    );
    page.table(table);
}

/// How many test rows are unlike the training faces, and how heads do on them.
fn familiarity(page: &mut Page, result: &CvResult) {
    let Some(&metric) = result.metrics().first() else { return };
    let measured = format::heading(metric);
    let mut table = Table::new([
        "head".to_owned(),
        "tested on".to_owned(),
        "rows".to_owned(),
        "unfamiliar (%)".to_owned(),
        format!("{measured}, familiar"),
        format!("{measured}, unfamiliar"),
    ]);
    for head in &result.heads {
        for split in &result.splits {
            let fits = head.fits.iter().filter(|fit| fit.split == split.name);
            let checks: Vec<&FamiliarityCheck> =
                fits.filter_map(|fit| fit.familiarity.as_ref()).collect();
            let Some(first) = checks.first() else { continue };
            let mean = |get: fn(&FamiliarityCheck) -> Option<f64>| {
                let values: Option<Vec<f64>> = checks.iter().map(|check| get(check)).collect();
                values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
            };
            let share = first.unfamiliar_rows as f64 / first.rows.max(1) as f64;
            table.row([
                head.name.clone(),
                literal(&split.name),
                format::count(first.rows),
                format::value(Metric::CumulativeScore5, share),
                format::optional(metric, mean(|check| check.familiar)),
                format::optional(metric, mean(|check| check.unfamiliar)),
            ]);
        }
    }
    if table.rows().is_empty() {
        return;
    }
    page.paragraph(
        "A test face is unfamiliar where its features are farther from the training faces than \
         those of 99 % of the validation faces.",
    );
    page.table(table);
}

fn fits(page: &mut Page, result: &CvResult) {
    let mut table = Table::new([
        "head",
        "fits",
        "rows fitted (least to most)",
        "best epoch (least to most)",
        "seconds a fit",
    ]);
    for head in &result.heads {
        let rows = range(head.fits.iter().map(|fit| fit.log.rows_used));
        let epochs = range(head.fits.iter().filter_map(|fit| fit.log.best_epoch));
        let seconds: f64 = head.fits.iter().map(|fit| fit.seconds).sum();
        table.row([
            head.name.clone(),
            head.fits.len().to_string(),
            rows,
            epochs,
            format!("{:.1}", seconds / head.fits.len().max(1) as f64),
        ]);
    }
    page.table(table);
    for head in &result.heads {
        // Equal notes of several fits are listed once.
        let mut notes: BTreeMap<&str, usize> = BTreeMap::new();
        for note in head.fits.iter().flat_map(|fit| &fit.log.notes) {
            *notes.entry(note).or_default() += 1;
        }
        for (note, fits) in notes {
            page.paragraph(format!(
                "`{}`: {note} ({fits} of {} fits).",
                head.name,
                head.fits.len()
            ));
        }
    }
    for figure in result.heads.iter().filter_map(|head| figures::learning_of(result, head)) {
        page.figure(figure);
    }
}

/// Whether a probability of 0.9 is right nine times of ten.
fn calibration(page: &mut Page, result: &CvResult) {
    let Some(figure) = figures::calibration_of(result) else { return };
    page.paragraph(
        "Of the predictions with a probability of 0.9, nine of ten should be correct: a line below \
         the dashed one is overconfident. The calibration error is the mean distance from it \
         over all test rows and seeds.",
    );
    let mut table = Table::new(["head", "calibration error (%)"]);
    for head in &result.heads {
        let Some(metrics) = class_metrics(head) else { continue };
        let error = format::value(Metric::CalibrationError, metrics.calibration.error);
        table.row([head.name.clone(), error]);
    }
    page.table(table);
    page.figure(figure);
}

/// Rows by true and predicted age.
fn predicted_ages(page: &mut Page, result: &CvResult) {
    for figure in learned(result).filter_map(|head| figures::predicted_ages_of(result, head)) {
        page.figure(figure);
    }
}

/// Of two classes a curve a head, of more the curves of each head.
fn roc(page: &mut Page, result: &CvResult) {
    for figure in figures::roc_of(result) {
        page.figure(figure);
    }
}

fn range(values: impl Iterator<Item = usize> + Clone) -> String {
    match (values.clone().min(), values.max()) {
        (Some(low), Some(high)) if low == high => format::count(low),
        (Some(low), Some(high)) => format!("{} to {}", format::count(low), format::count(high)),
        _ => NONE.to_owned(),
    }
}

fn settings(page: &mut Page, result: &CvResult) {
    for head in &result.heads {
        let settings =
            serde_json::to_string_pretty(&head.settings).unwrap_or_else(|error| error.to_string());
        page.paragraph(format!("`{}`:", head.name));
        page.push(Block::Code("json", settings));
    }
}
