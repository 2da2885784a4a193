//! The plots of a task: confusion matrices, learning curves, calibration, cumulative scores.

use facefold_core::Task;
use facefold_evaluate::{AttributeSlices, CvResult, HeadResult, Metrics, Slice, SliceReport};

use crate::format;
use crate::plot::{Gap, Labels, Series, confusion, gaps, lines};

/// A plot with its place in the report.
pub(crate) struct Figure {
    /// File name within `plots`.
    pub(crate) file: String,
    /// What it shows.
    pub(crate) caption: String,
    /// The drawing.
    pub(crate) svg: String,
}

/// The confusion matrix.
pub(crate) fn confusion_of(result: &CvResult, head: &HeadResult) -> Option<Figure> {
    let Metrics::Classes(classes) = &head.pooled else { return None };
    let caption = format!("{} by {}: confusion matrix", result.task, head.name);
    Some(Figure {
        file: file_name(&[result.task.as_str(), "confusion", &head.name]),
        svg: confusion(&caption, &result.classes, &classes.confusion),
        caption,
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
    (!series.is_empty()).then(|| Figure {
        file: file_name(&[result.task.as_str(), "learning", &head.name]),
        svg: lines(Labels { title: &caption, x: "epoch", y: "loss" }, &series),
        caption,
    })
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
    series.push(Series {
        label: None,
        points: vec![(0.0, 0.0), (1.0, 1.0)],
        colour: 6,
        opacity: 0.4,
        dashed: true,
    });
    let caption = format!("{}: calibration; the dashed line is perfect", result.task);
    Some(Figure {
        file: file_name(&[result.task.as_str(), "calibration"]),
        svg: lines(Labels { title: &caption, x: "predicted probability", y: "accuracy" }, &series),
        caption,
    })
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
    (!series.is_empty()).then(|| Figure {
        file: file_name(&[result.task.as_str(), "cumulative-score"]),
        svg: lines(
            Labels { title: &caption, x: "error of at most (years)", y: "test rows (%)" },
            &series,
        ),
        caption,
    })
}

/// The slices of an attribute, worst on top; of many the worst.
pub(crate) fn slices_of(
    task: Task,
    report: &SliceReport,
    attribute: &AttributeSlices,
) -> Option<Figure> {
    const SHOWN: usize = 24;
    let metric = report.metric;
    let scale = if metric.is_fraction() { 100.0 } else { 1.0 };
    let part = |slice: &Slice| Gap {
        label: slice.name.clone(),
        value: scale * slice.value,
        interval: (scale * slice.interval.low, scale * slice.interval.high),
        worse: (slice.gap > 0.0) != metric.higher_is_better(),
    };
    let parts: Vec<Gap> = attribute.slices.iter().take(SHOWN).map(part).collect();
    let which = if attribute.slices.len() > SHOWN { "worst " } else { "" };
    let caption = format!("{task} by {which}{}, and 95 % intervals", attribute.name);
    (!parts.is_empty()).then(|| Figure {
        file: file_name(&[task.as_str(), "slices", &attribute.name]),
        svg: gaps(&caption, &format::heading(metric), scale * report.value, &parts),
        caption,
    })
}

pub(crate) fn file_name(parts: &[&str]) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = parts.join("-").chars().map(safe).collect();
    let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
    format!("{}.svg", words.join("-"))
}
