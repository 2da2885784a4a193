//! Panels of counted bars under each other.

use super::{BOTTOM, INK, RIGHT, Scale, short};
use crate::drawing::{Anchor, Drawing, Paint, text_width};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 74.0;
/// Height of the line above the panels, of a panel, and of its title.
const TOP: f64 = 40.0;
const PANEL: f64 = 330.0;
const TITLE: f64 = 46.0;

/// A histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<'a> {
    /// What is counted, by what.
    pub title: &'a str,
    /// The label and count of each bar, from left to right; may be empty.
    pub bars: Vec<(&'a str, usize)>,
}

/// Histograms under each other, each bar with its count above it.
#[must_use]
pub fn histograms(title: &str, panels: &[Histogram<'_>]) -> Drawing {
    let mut plot = Drawing::new(WIDTH, TOP + PANEL * panels.len() as f64);
    plot.title(title);
    for (number, panel) in panels.iter().enumerate() {
        draw(&mut plot, TOP + PANEL * number as f64, panel);
    }
    plot
}

fn draw(plot: &mut Drawing, top: f64, panel: &Histogram<'_>) {
    let middle = (f64::midpoint(LEFT, WIDTH - RIGHT), top + 26.0);
    if panel.bars.is_empty() {
        let text = format!("{}: none named", panel.title);
        plot.text(middle, 13.0, Anchor::Middle, INK, &text);
        return;
    }
    plot.text(middle, 13.0, Anchor::Middle, INK, panel.title);
    let highest = panel.bars.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let (above, below) = (top + TITLE, top + PANEL - BOTTOM);
    // The count above the highest bar needs room.
    let y = Scale::around(&[0.0, highest as f64], below, above + 14.0);
    for tick in y.ticks().filter(|tick| tick.fract() == 0.0) {
        plot.line((LEFT, y.at(tick)), (WIDTH - RIGHT, y.at(tick)), Paint::Grid);
        plot.text((LEFT - 6.0, y.at(tick) + 4.0), 12.0, Anchor::End, INK, &short(tick));
    }
    let step = (WIDTH - LEFT - RIGHT) / panel.bars.len() as f64;
    let widest = panel.bars.iter().map(|(label, _)| text_width(label, 12.0)).fold(0.0, f64::max);
    // Letters that are small enough for every label.
    let size = (12.0 * (step - 4.0) / widest).clamp(7.0, 12.0);
    for (index, &(label, count)) in panel.bars.iter().enumerate() {
        let (left, bar) = (LEFT + (index as f64 + 0.08) * step, y.at(count as f64));
        let centre = left + 0.42 * step;
        plot.rectangle(left, bar, 0.84 * step, below - bar, Paint::Series(0));
        plot.text((centre, bar - 4.0), size, Anchor::Middle, INK, &count.to_string());
        plot.text((centre, below + 16.0), size, Anchor::Middle, INK, label);
    }
}

#[cfg(test)]
mod tests {
    use super::{Histogram, histograms};

    #[test]
    fn every_bar_has_its_label_its_count_and_a_height_that_fits() {
        let panels = [
            Histogram { title: "samples by gender", bars: vec![("f & g", 30), ("m", 15)] },
            Histogram { title: "samples by age", bars: Vec::new() },
        ];
        let svg = histograms("a set", &panels).svg();
        for text in
            ["a set", "samples by gender", "f &amp; g", ">30<", "samples by age: none named"]
        {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        let heights: Vec<f64> = svg
            .lines()
            .filter(|line| line.contains("class=\"s0\""))
            .map(|line| line.split(" height=\"").nth(1).unwrap().split('"').next().unwrap())
            .map(|height| height.parse().unwrap())
            .collect();
        assert_eq!(heights.len(), 2);
        assert!((heights[0] / heights[1] - 2.0).abs() < 0.01, "{heights:?}");
    }
}
