//! The plots of a task: heads with intervals, confusion matrices, learning curves, calibration, cumulative scores.

use facefold_core::Task;
use facefold_evaluate::attributes::AGE_GROUP;
use facefold_evaluate::statistics::bootstrap::Interval;
use facefold_evaluate::{
    AttributeSlices, CvResult, HeadResult, Metrics, RocCurve, Slice, SliceReport,
};

use crate::drawing::Drawing;
use crate::format;
use crate::inline::literal;
use crate::model::TaskReport;
use crate::plot::{
    Estimate, Gap, Labels, NUMBERED, Series, confusion, density, forest, gaps, lines,
};
use crate::table::Table;

/// A plot with its place in the report.
pub(crate) struct Figure {
    /// File name within `plots`.
    pub(crate) file: String,
    /// What it shows.
    pub(crate) caption: String,
    /// The drawing.
    pub(crate) drawing: Drawing,
    /// Its numbers, for a reader without the drawing.
    pub(crate) numbers: Option<Table>,
    /// Whether all of them can be read in the drawing.
    pub(crate) shows_numbers: bool,
}

impl Figure {
    /// A drawing whose numbers stand elsewhere.
    pub(crate) fn new(name: &[&str], caption: String, drawing: Drawing) -> Self {
        Self { file: file_name(name), caption, drawing, numbers: None, shows_numbers: false }
    }
}

/// The heads of a result without the baseline, which learns nothing; with it where it is alone.
pub(crate) fn learned(result: &CvResult) -> impl Iterator<Item = &HeadResult> {
    let alone = result.heads.iter().all(is_baseline);
    result.heads.iter().filter(move |head| alone || !is_baseline(head))
}

fn is_baseline(head: &HeadResult) -> bool {
    head.name == "majority"
}

/// The plot of a task's heads.
pub(crate) struct HeadsPlot {
    pub(crate) figure: Figure,
    pub(crate) without_baseline: bool,
}

/// The metric that decides of every head, with its interval (a forest plot).
pub(crate) fn heads_of(task: &TaskReport) -> Option<HeadsPlot> {
    let (result, metric) = (&task.result, task.primary());
    let scale = if metric.is_fraction() { 100.0 } else { 1.0 };
    let estimate = |head: &HeadResult| {
        let line = head.summary.iter().find(|line| line.metric == metric)?;
        let interval = line.interval.unwrap_or(Interval { low: line.pooled, high: line.pooled });
        Some(Estimate {
            label: head.name.clone(),
            value: scale * line.pooled,
            interval: (scale * interval.low, scale * interval.high),
        })
    };
    let estimates: Vec<Estimate> = learned(result).filter_map(estimate).collect();
    let without_baseline = learned(result).count() < result.heads.len();
    let caption = format!("{}: heads with 95 % intervals", result.task);
    let drawing = forest(&caption, &format::heading(metric), &estimates);
    (!estimates.is_empty()).then(|| HeadsPlot {
        figure: Figure::new(&[result.task.as_str(), "heads"], caption, drawing),
        without_baseline,
    })
}

/// The confusion matrix.
pub(crate) fn confusion_of(result: &CvResult, head: &HeadResult) -> Option<Figure> {
    let Metrics::Classes(classes) = &head.pooled else { return None };
    let caption = format!(
        "{} by {}: confusion matrix, rows of all seeds and % of the true class",
        result.task, head.name
    );
    let names = result.classes.iter().map(|name| literal(name));
    let mut numbers = Table::new(std::iter::once("true ↓, predicted →".to_owned()).chain(names));
    for (name, row) in result.classes.iter().zip(&classes.confusion) {
        let counts = row.iter().map(|&count| format::count(count as usize));
        numbers.row(std::iter::once(literal(name)).chain(counts));
    }
    let title = format!("{} by {}", result.task, head.name);
    let drawing = confusion(&title, &result.classes, &classes.confusion);
    Some(Figure {
        numbers: Some(numbers),
        shows_numbers: result.classes.len() <= NUMBERED,
        ..Figure::new(&[result.task.as_str(), "confusion", &head.name], caption, drawing)
    })
}

/// Training and validation loss of every fit that went in epochs.
pub(crate) fn learning_of(result: &CvResult, head: &HeadResult) -> Option<Figure> {
    let curves = head.fits.iter().filter(|fit| !fit.log.epochs.is_empty());
    let opacity = if head.fits.len() > 1 { 0.5 } else { 1.0 };
    let mut series = Vec::new();
    for (index, fit) in curves.enumerate() {
        for (colour, name) in ["training loss", "validation loss"].into_iter().enumerate() {
            let points = fit
                .log
                .epochs
                .iter()
                .map(|epoch| {
                    let loss =
                        if colour == 0 { epoch.training_loss } else { epoch.validation_loss };
                    (epoch.number as f64, loss)
                })
                .collect();
            // One entry in the legend stands for the lines of all fits.
            let label = (index == 0).then(|| name.to_owned());
            series.push(Series { label, points, colour, opacity, dashed: false });
        }
    }
    let caption = format!("{} by {}: learning curves, one line a fit", result.task, head.name);
    let drawing = lines(Labels { title: &caption, x: "epoch", y: "loss" }, &series);
    (!series.is_empty())
        .then(|| Figure::new(&[result.task.as_str(), "learning", &head.name], caption, drawing))
}

/// Accuracy by predicted probability (reliability diagram), a line a head.
pub(crate) fn calibration_of(result: &CvResult) -> Option<Figure> {
    let mut series: Vec<Series> = result
        .heads
        .iter()
        .enumerate()
        .filter_map(|(number, head)| {
            let Metrics::Classes(classes) = &head.pooled else { return None };
            let bins = classes.calibration.bins.iter();
            Some(Series::new(
                &head.name,
                number,
                bins.map(|bin| (bin.confidence, bin.accuracy)).collect(),
            ))
        })
        .collect();
    if series.is_empty() {
        return None;
    }
    series.push(diagonal(1.0));
    let caption = format!("{}: calibration; the dashed line is perfect", result.task);
    let labels = Labels { title: &caption, x: "predicted probability", y: "accuracy" };
    let drawing = lines(labels, &series);
    Some(Figure::new(&[result.task.as_str(), "calibration"], caption, drawing))
}

/// ROC curves: of two classes one plot with a line a head, else a plot a head with a line a class.
pub(crate) fn roc_of(result: &CvResult) -> Vec<Figure> {
    let named = |name: &str, auc: f64| format!("{name}, AUC {:.2} %", 100.0 * auc);
    let figure = |parts: &[&str], caption: String, mut series: Vec<Series>| {
        series.push(diagonal(1.0));
        let labels = Labels { title: &caption, x: "false positive rate", y: "true positive rate" };
        let drawing = lines(labels, &series);
        Figure::new(parts, caption, drawing)
    };
    let task = result.task.as_str();
    let curves = |head: &HeadResult, name: &dyn Fn(&RocCurve) -> String, first: usize| {
        let series = head.roc.iter().enumerate().map(|(number, curve)| {
            Series::new(named(&name(curve), curve.auc), first + number, curve.points.clone())
        });
        series.collect::<Vec<_>>()
    };
    if result.classes.len() == 2 {
        let heads = learned(result).enumerate();
        let series: Vec<Series> =
            heads.flat_map(|(number, head)| curves(head, &|_| head.name.clone(), number)).collect();
        let caption = format!("{task}: ROC curves of `{}`", result.classes[1]).replace('`', "");
        return if series.is_empty() {
            Vec::new()
        } else {
            vec![figure(&[task, "roc"], caption, series)]
        };
    }
    let class = |curve: &RocCurve| result.classes.get(curve.class).cloned().unwrap_or_default();
    let of_head = |head: &HeadResult| {
        let caption = format!("{task} by {}: ROC curves, a class against the others", head.name);
        figure(&[task, "roc", &head.name], caption, curves(head, &class, 0))
    };
    learned(result).filter(|head| !head.roc.is_empty()).map(of_head).collect()
}

/// A dashed line from 0 to this value in both directions.
fn diagonal(end: f64) -> Series {
    let points = vec![(0.0, 0.0), (end, end)];
    Series { label: None, points, colour: 6, opacity: 0.4, dashed: true }
}

/// Rows by true and predicted age.
pub(crate) fn predicted_ages_of(result: &CvResult, head: &HeadResult) -> Option<Figure> {
    let histogram = head.age_histogram.as_ref()?;
    let caption = format!("{} by {}: predicted against true age", result.task, head.name);
    let labels = Labels { title: &caption, x: "true age (years)", y: "predicted age (years)" };
    let drawing = density(labels, f64::from(histogram.bin_years), &histogram.bins);
    Some(Figure::new(&[result.task.as_str(), "predicted-ages", &head.name], caption, drawing))
}

/// Fraction of rows by error, a line a head.
pub(crate) fn cumulative_of(result: &CvResult) -> Option<Figure> {
    let series: Vec<Series> = result
        .heads
        .iter()
        .enumerate()
        .filter_map(|(number, head)| {
            let Metrics::Regression(years) = &head.pooled else { return None };
            let fractions = years.exact.as_ref()?.cumulative_score.iter().enumerate();
            let points = fractions.map(|(limit, share)| (limit as f64, 100.0 * share)).collect();
            Some(Series::new(&head.name, number, points))
        })
        .collect();
    let caption = format!("{}: cumulative score", result.task);
    let labels = Labels { title: &caption, x: "error of at most (years)", y: "test rows (%)" };
    let drawing = lines(labels, &series);
    (!series.is_empty())
        .then(|| Figure::new(&[result.task.as_str(), "cumulative-score"], caption, drawing))
}

/// The slices of an attribute, worst on top; of many the worst.
pub(crate) fn slices_of(
    task: Task,
    report: &SliceReport,
    attribute: &AttributeSlices,
) -> Option<Figure> {
    const SHOWN: usize = 24;
    let parts: Vec<&Slice> = attribute.slices.iter().take(SHOWN).collect();
    let which = if attribute.slices.len() > SHOWN { "worst " } else { "" };
    let caption = format!("{task} by {which}{}, and 95 % intervals", attribute.name);
    parts_of(report, &parts, &[task.as_str(), "slices", &attribute.name], caption)
}

/// The error of the best head by age group, youngest on top.
pub(crate) fn error_by_age(report: &SliceReport) -> Option<Figure> {
    let attribute = report.attributes.iter().find(|attribute| attribute.name == AGE_GROUP)?;
    let mut parts: Vec<&Slice> = attribute.slices.iter().collect();
    parts.sort_by_key(|slice| {
        let end = slice.name.find(|letter: char| !letter.is_ascii_digit());
        slice.name[..end.unwrap_or(slice.name.len())].parse().unwrap_or(u32::MAX)
    });
    let caption = format!("error of {} by true age, and 95 % intervals", report.head);
    parts_of(report, &parts, &[Task::Age.as_str(), "error-by-age"], caption)
}

fn parts_of(
    report: &SliceReport,
    slices: &[&Slice],
    name: &[&str],
    caption: String,
) -> Option<Figure> {
    let metric = report.metric;
    let scale = if metric.is_fraction() { 100.0 } else { 1.0 };
    let part = |slice: &&Slice| Gap {
        label: slice.name.clone(),
        value: scale * slice.value,
        interval: (scale * slice.interval.low, scale * slice.interval.high),
        worse: (slice.gap > 0.0) != metric.higher_is_better(),
    };
    let parts: Vec<Gap> = slices.iter().map(part).collect();
    let drawing = gaps(&caption, &format::heading(metric), scale * report.value, &parts);
    (!parts.is_empty()).then(|| Figure::new(name, caption, drawing))
}

fn file_name(parts: &[&str]) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = parts.join("-").chars().map(safe).collect();
    let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
    format!("{}.svg", words.join("-"))
}
