//! Plots: lines, dots, bars, estimates with intervals, gaps, confusion matrices.

mod density;
mod dots;
mod forest;
mod histograms;

pub use density::density;
pub use dots::dots;
pub use forest::{Estimate, forest};
pub use histograms::{Histogram, histograms};

use crate::drawing::{Anchor, Drawing, Paint, text_width};

const INK: Paint = Paint::Ink;
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 48.0;

/// A line in a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name in the legend; none for a line that is one of many with the same meaning.
    pub label: Option<String>,
    /// x and y; points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
    /// Number of the colour.
    pub colour: usize,
    /// 0 (invisible) to 1.
    pub opacity: f64,
    /// Drawn with gaps.
    pub dashed: bool,
}

impl Series {
    /// A solid line of a colour.
    pub fn new(label: impl Into<String>, colour: usize, points: Vec<(f64, f64)>) -> Self {
        Self { label: Some(label.into()), points, colour, opacity: 1.0, dashed: false }
    }
}

/// Title and axes of a plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels<'a> {
    /// Above the plot.
    pub title: &'a str,
    /// Under the x axis.
    pub x: &'a str,
    /// Of the y axis.
    pub y: &'a str,
}

/// A plot of lines. The axes cover all points.
#[must_use]
pub fn lines(labels: Labels<'_>, series: &[Series]) -> Drawing {
    let finite = |axis: fn(&(f64, f64)) -> f64| {
        series
            .iter()
            .flat_map(|series| &series.points)
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .map(axis)
            .collect::<Vec<f64>>()
    };
    let (x, y) = (Scale::around(&finite(|p| p.0), LEFT, WIDTH - RIGHT), {
        Scale::around(&finite(|p| p.1), HEIGHT - BOTTOM, TOP)
    });
    let mut plot = Drawing::new(WIDTH, HEIGHT);
    frame(&mut plot, labels);
    for tick in x.ticks() {
        plot.line((x.at(tick), TOP), (x.at(tick), HEIGHT - BOTTOM), Paint::Grid);
        let below = (x.at(tick), HEIGHT - BOTTOM + 16.0);
        plot.text(below, 12.0, Anchor::Middle, INK, &short(tick));
    }
    y_axis(&mut plot, &y);
    for line in series {
        let points = line.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let placed = points.map(|&(px, py)| (x.at(px), y.at(py)));
        plot.polyline(placed, Paint::Series(line.colour), line.opacity, line.dashed);
    }
    let named: Vec<(&str, usize)> =
        series.iter().filter_map(|line| Some((line.label.as_deref()?, line.colour))).collect();
    // Curves that rise end in the upper right corner, so their legend goes to the lower one.
    let right = series.iter().flat_map(|line| &line.points).filter(|p| x.at(p.0) > WIDTH / 2.0);
    let (above, below): (Vec<f64>, Vec<f64>) =
        right.map(|p| y.at(p.1)).filter(|y| y.is_finite()).partition(|&y| y < HEIGHT / 2.0);
    let corner = if above.len() > below.len() {
        HEIGHT - BOTTOM - 16.0 * named.len() as f64
    } else {
        TOP + 14.0
    };
    legend(&mut plot, corner, named.into_iter());
    plot
}

/// A plot of bars from 0: one group a label, one bar a series in each.
#[must_use]
pub fn bars(labels: Labels<'_>, groups: &[String], series: &[(String, Vec<f64>)]) -> Drawing {
    let mut values: Vec<f64> = series
        .iter()
        .flat_map(|(_, values)| values.iter().copied())
        .filter(|value| value.is_finite())
        .collect();
    values.push(0.0);
    let y = Scale::around(&values, HEIGHT - BOTTOM, TOP);
    let mut plot = Drawing::new(WIDTH, HEIGHT);
    frame(&mut plot, labels);
    y_axis(&mut plot, &y);
    let step = (WIDTH - LEFT - RIGHT) / groups.len().max(1) as f64;
    let width = 0.8 * step / series.len().max(1) as f64;
    // Labels that would overlap are thinned out.
    let longest = groups.iter().map(|group| group.chars().count()).max().unwrap_or(0);
    let shown_every = ((longest as f64 * 7.0 + 6.0) / step).ceil().max(1.0) as usize;
    for (index, group) in groups.iter().enumerate() {
        let left = LEFT + index as f64 * step + 0.1 * step;
        for (number, (_, values)) in series.iter().enumerate() {
            if let Some(&value) = values.get(index).filter(|value| value.is_finite()) {
                let (top, bottom) = (y.at(value.max(0.0)), y.at(value.min(0.0)));
                let x = left + number as f64 * width;
                plot.rectangle(x, top, width, bottom - top, Paint::Series(number));
            }
        }
        if index % shown_every == 0 {
            let below = (left + 0.4 * step, HEIGHT - BOTTOM + 16.0);
            plot.text(below, 12.0, Anchor::Middle, INK, group);
        }
    }
    if series.len() > 1 {
        legend(
            &mut plot,
            TOP + 14.0,
            series.iter().enumerate().map(|(n, (name, _))| (name.as_str(), n)),
        );
    }
    plot
}

/// A part of what a plot of gaps shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// Its name, left of the bar.
    pub label: String,
    /// Where the bar ends.
    pub value: f64,
    /// Where its interval begins and ends.
    pub interval: (f64, f64),
    /// Whether the value lies on the bad side of the whole.
    pub worse: bool,
}

/// A plot of parts under each other: a bar from the value of the whole to that of each part, with
/// the part's interval as a whisker.
#[must_use]
pub fn gaps(title: &str, axis: &str, whole: f64, parts: &[Gap]) -> Drawing {
    const ROW: f64 = 22.0;
    let labels: Vec<String> = parts.iter().map(|part| shortened(&part.label)).collect();
    let left = 16.0 + widest(&labels, 12.0);
    let bottom = TOP + ROW * parts.len() as f64 + 4.0;
    let mut values = vec![whole];
    values.extend(parts.iter().flat_map(|part| [part.value, part.interval.0, part.interval.1]));
    values.retain(|value| value.is_finite());
    // Half of the last tick's number is right of it.
    let right = WIDTH - RIGHT - 12.0;
    let x = Scale::around(&values, left, right);
    let mut plot = Drawing::new(WIDTH, bottom + BOTTOM);
    plot.title(title);
    plot.text((f64::midpoint(left, right), bottom + 38.0), 13.0, Anchor::Middle, INK, axis);
    for tick in x.ticks() {
        plot.line((x.at(tick), TOP), (x.at(tick), bottom), Paint::Grid);
        plot.text((x.at(tick), bottom + 16.0), 12.0, Anchor::Middle, INK, &short(tick));
    }
    for (index, part) in parts.iter().enumerate() {
        let middle = TOP + ROW * (index as f64 + 0.5) + 2.0;
        plot.text((left - 8.0, middle + 4.0), 12.0, Anchor::End, INK, &labels[index]);
        let (from, to) = (x.at(whole.min(part.value)), x.at(whole.max(part.value)));
        let paint = Paint::Series(usize::from(part.worse));
        plot.rectangle(from, middle - 6.0, to - from, 12.0, paint);
        let (low, high) = (x.at(part.interval.0), x.at(part.interval.1));
        plot.rectangle(low, middle - 0.75, high - low, 1.5, INK);
        for end in [low, high] {
            plot.rectangle(end - 0.75, middle - 3.5, 1.5, 7.0, INK);
        }
    }
    plot.rectangle(x.at(whole) - 0.5, TOP, 1.0, bottom - TOP, INK);
    plot
}

/// Above so many classes a confusion matrix has no numbers, as they would not fit.
pub const NUMBERED: usize = 12;

/// A confusion matrix: rows are the true class, columns the predicted class; each cell of up to
/// [`NUMBERED`] classes has its count and its fraction of the row.
#[must_use]
pub fn confusion(title: &str, classes: &[String], counts: &[Vec<u64>]) -> Drawing {
    let numbered = classes.len() <= NUMBERED;
    let classes: Vec<String> = classes.iter().map(|class| shortened(class)).collect();
    let k = classes.len().max(1) as f64;
    let names = widest(&classes, 12.0);
    let left = 44.0 + names;
    let cell = ((WIDTH - left - RIGHT) / k).clamp(12.0, 90.0);
    // Names that are wider than a cell read upwards.
    let upright = names > cell - 4.0;
    let below = if upright { names + 10.0 } else { 20.0 };
    let (width, height) = ((left + k * cell + RIGHT).max(WIDTH), TOP + k * cell + below + 30.0);
    // A small matrix stands in the middle.
    let left = left + (width - left - k * cell - RIGHT) / 2.0;
    let mut plot = Drawing::new(width, height);
    plot.title(title);
    plot.upward_text(
        (left - names - 24.0, TOP + k * cell / 2.0),
        13.0,
        Anchor::Middle,
        "true class",
    );
    let axis = (left + k * cell / 2.0, height - 10.0);
    plot.text(axis, 13.0, Anchor::Middle, INK, "predicted class");
    for (i, (class, row)) in classes.iter().zip(counts).enumerate() {
        let y = TOP + i as f64 * cell;
        plot.text((left - 6.0, y + cell / 2.0 + 4.0), 12.0, Anchor::End, INK, class);
        let total: u64 = row.iter().sum();
        for (j, &count) in row.iter().enumerate() {
            let share = if total > 0 { count as f64 / total as f64 } else { 0.0 };
            let x = left + j as f64 * cell;
            plot.cell(x, y, cell - 1.0, share);
            if numbered {
                numbers(&mut plot, (x + cell / 2.0, y + cell / 2.0), cell, count, share);
            }
        }
        let x = left + (i as f64 + 0.5) * cell;
        if upright {
            plot.upward_text((x + 4.0, TOP + k * cell + 6.0), 12.0, Anchor::End, class);
        } else {
            plot.text((x, TOP + k * cell + 16.0), 12.0, Anchor::Middle, INK, class);
        }
    }
    plot
}

/// A cell's count, and its fraction of the row.
fn numbers(plot: &mut Drawing, (x, y): (f64, f64), cell: f64, count: u64, share: f64) {
    let count = count.to_string();
    let size = (1.55 * (cell - 4.0) / count.len() as f64).clamp(7.0, 12.0);
    plot.text((x, y), size, Anchor::Middle, INK, &count);
    let per_cent = format!("{:.0} %", 100.0 * share);
    plot.text((x, y + 12.0), size.min(10.0), Anchor::Middle, INK, &per_cent);
}

fn frame(plot: &mut Drawing, labels: Labels<'_>) {
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    plot.title(labels.title);
    plot.text((middle, HEIGHT - 10.0), 13.0, Anchor::Middle, INK, labels.x);
    let left = (16.0, f64::midpoint(TOP, HEIGHT - BOTTOM));
    plot.upward_text(left, 13.0, Anchor::Middle, labels.y);
}

/// A label that leaves room for the plot.
fn shortened(label: &str) -> String {
    const LETTERS: usize = 26;
    if label.chars().count() <= LETTERS {
        return label.to_owned();
    }
    let kept: String = label.chars().take(LETTERS - 1).collect();
    format!("{}…", kept.trim_end())
}

/// The width of the longest label in pixels.
fn widest(labels: &[String], size: f64) -> f64 {
    labels.iter().map(|label| text_width(label, size)).fold(0.0, f64::max)
}

fn y_axis(plot: &mut Drawing, y: &Scale) {
    for tick in y.ticks() {
        plot.line((LEFT, y.at(tick)), (WIDTH - RIGHT, y.at(tick)), Paint::Grid);
        plot.text((LEFT - 6.0, y.at(tick) + 4.0), 12.0, Anchor::End, INK, &short(tick));
    }
}

fn legend<'a>(plot: &mut Drawing, top: f64, entries: impl Iterator<Item = (&'a str, usize)>) {
    for (index, (name, number)) in entries.enumerate() {
        let y = top + 16.0 * index as f64;
        let x = WIDTH - RIGHT - 10.0;
        plot.rectangle(x - 8.0, y - 9.0, 10.0, 10.0, Paint::Series(number));
        plot.text((x - 14.0, y), 12.0, Anchor::End, INK, name);
    }
}

/// A linear map from values to pixels, with round bounds.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn around(values: &[f64], from: f64, to: f64) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = match (low.is_finite(), low < high) {
            (false, _) => (0.0, 1.0),
            // No percentage is above 100.
            (true, false) if low == 100.0 => (low - 1.0, low),
            (true, false) => (low - 0.5, low + 0.5),
            (true, true) => (low, high),
        };
        let step = round_step((high - low) / 6.0);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count).map(|index| self.low + index as f64 * self.step)
    }
}

/// The next larger of 1, 2, 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// A tick's number without insignificant digits.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    let trimmed = text.trim_end_matches('0').trim_end_matches('.');
    if trimmed == "-0" { "0".to_owned() } else { trimmed.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{Gap, Labels, Scale, Series, bars, confusion, gaps, lines, round_step};

    const LABELS: Labels<'_> = Labels { title: "a < b", x: "epoch", y: "loss" };

    #[test]
    fn tick_steps_are_round() {
        for (raw, expected) in [(0.8, 1.0), (1.1, 2.0), (0.03, 0.05), (6.0, 10.0), (200.0, 200.0)] {
            assert!((round_step(raw) - expected).abs() < 1e-9 * expected, "{raw}");
        }
        let scale = Scale::around(&[0.1, 3.9], 0.0, 100.0);
        assert_eq!(scale.ticks().collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert!((scale.at(1.0) - 25.0).abs() < 1e-9);
    }

    #[test]
    fn plots_hold_every_label_and_escape_it() {
        let line = Series::new("mlp & co", 0, vec![(1.0, 0.5), (2.0, f64::NAN), (3.0, 0.2)]);
        let plot = lines(LABELS, &[line]).svg();
        for text in ["a &lt; b", "epoch", "loss", "mlp &amp; co"] {
            assert!(plot.contains(text), "{text}");
        }
        assert!(!plot.contains("NaN"));
        let groups = ["f".to_owned(), "m".to_owned()];
        let plot = bars(LABELS, &groups, &[("rows".to_owned(), vec![3.0, 4.0])]).svg();
        assert_eq!(plot.matches("#0072b2").count(), 2, "one bar a group");
        let plot = confusion("t", &groups, &[vec![3, 1], vec![0, 0]]).svg();
        assert!(plot.contains(">75 %<") && plot.contains(">3<"), "{plot}");
    }

    #[test]
    fn a_gap_is_a_bar_from_the_overall_value() {
        let part = |label: &str, value: f64, worse: bool| Gap {
            label: label.to_owned(),
            value,
            interval: (value - 1.0, value + 1.0),
            worse,
        };
        let plot = gaps("t", "MAE", 5.0, &[part("a < b", 9.0, true), part("c", 3.0, false)]).svg();
        assert!(plot.contains("a &lt; b") && plot.contains(">MAE<"), "{plot}");
        let width = |class: &str| -> f64 {
            let bar = plot.lines().find(|line| line.contains(class)).unwrap();
            let rest = bar.split(" width=\"").nth(1).unwrap();
            rest.split('"').next().unwrap().parse().unwrap()
        };
        let quotient = width("class=\"s1\"") / width("class=\"s0\"");
        assert!((quotient - 2.0).abs() < 0.01, "4 and 2 from the whole: {quotient}");
    }

    #[test]
    fn the_legend_does_not_cover_lines() {
        let legend_at = |end: f64| {
            let line = Series::new("mlp", 0, vec![(0.0, 0.5), (0.9, end), (1.0, end)]);
            let plot = lines(LABELS, &[line]).svg();
            let label = plot.lines().find(|element| element.contains(">mlp<")).unwrap().to_owned();
            let y = label.split(" y=\"").nth(1).unwrap().split('"').next().unwrap();
            y.parse::<f64>().unwrap()
        };
        assert!(legend_at(1.0) > 200.0 && legend_at(0.0) < 200.0);
    }

    #[test]
    fn empty_plots_are_valid_svg() {
        for plot in [
            lines(LABELS, &[]),
            bars(LABELS, &[], &[]),
            confusion("t", &[], &[]),
            gaps("t", "x", 0.5, &[]),
        ] {
            let plot = plot.svg();
            assert!(plot.starts_with("<svg") && plot.ends_with("</svg>\n"));
            assert!(!plot.contains("NaN") && !plot.contains("inf"), "{plot}");
        }
    }
}
