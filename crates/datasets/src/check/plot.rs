//! A plot of a set's distributions: three panels in one SVG, without outside fonts.

use std::fmt::Display;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Check, Histogram};
use crate::error::DatasetError;

/// Width and height in pixels.
const SIZE: (u32, u32) = (960, 1080);
/// Height of the line above the panels.
const TITLE: i32 = 46;
/// Sizes of letters, which the library renders at 0.8 of the given size.
const LARGE: u32 = 28;
const MIDDLE: u32 = 21;
const SMALL: u32 = 15;
const BAR: RGBColor = RGBColor(58, 110, 165);
const INK: RGBColor = RGBColor(40, 40, 40);

impl Check {
    /// An SVG document with the distributions of age, gender and subject sizes, dark on white.
    ///
    /// # Errors
    /// [`DatasetError::Plot`] with the plotting library's error.
    pub fn plot(&self) -> Result<String, DatasetError> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE).map_err(failed)?;
            let title =
                format!("{}: {} samples of {} subjects", self.kind, self.samples, self.subjects);
            let style = ("sans-serif", LARGE).into_font().color(&INK);
            area.draw_text(&title, &style, (20, 14)).map_err(failed)?;
            let (_, below) = area.split_vertically(TITLE);
            let histograms = &self.histograms;
            let panels = [&histograms.age, &histograms.gender, &histograms.subject_sizes];
            for (panel, histogram) in below.split_evenly((3, 1)).iter().zip(panels) {
                draw(panel, histogram)?;
            }
            area.present().map_err(failed)?;
        }
        Ok(svg)
    }
}

fn failed(error: impl Display) -> DatasetError {
    DatasetError::Plot(error.to_string())
}

fn draw(
    panel: &DrawingArea<SVGBackend<'_>, Shift>,
    histogram: &Histogram,
) -> Result<(), DatasetError> {
    let Some(last) = histogram.bars.len().checked_sub(1) else {
        let style = ("sans-serif", MIDDLE).into_font().color(&INK);
        let text = format!("{}: none named", histogram.title);
        return panel.draw_text(&text, &style, (20, 20)).map_err(failed);
    };
    let highest = histogram.bars.iter().map(|bar| bar.count).max().unwrap_or(0).max(1);
    let mut chart = ChartBuilder::on(panel)
        .caption(&histogram.title, ("sans-serif", MIDDLE).into_font().color(&INK))
        .margin(14)
        .x_label_area_size(30)
        .y_label_area_size(64)
        // The count above the highest bar needs room.
        .build_cartesian_2d((0..last).into_segmented(), 0..highest + highest.div_ceil(8))
        .map_err(failed)?;
    let name = |value: &SegmentValue<usize>| match value {
        SegmentValue::CenterOf(bar) => {
            histogram.bars.get(*bar).map_or_else(String::new, |bar| bar.label.clone())
        }
        SegmentValue::Exact(_) | SegmentValue::Last => String::new(),
    };
    let small = ("sans-serif", SMALL).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(histogram.bars.len())
        .x_label_formatter(&name)
        .y_labels(6)
        .label_style(small.clone())
        .axis_style(INK)
        .draw()
        .map_err(failed)?;
    let bars = histogram.bars.iter().enumerate().map(|(index, bar)| {
        let right = if index == last { SegmentValue::Last } else { SegmentValue::Exact(index + 1) };
        let corners = [(SegmentValue::Exact(index), 0), (right, bar.count)];
        let mut rectangle = Rectangle::new(corners, BAR.filled());
        rectangle.set_margin(0, 0, 3, 3);
        rectangle
    });
    chart.draw_series(bars).map_err(failed)?;
    let above = small.pos(Pos::new(HPos::Center, VPos::Bottom));
    let counts = histogram.bars.iter().enumerate().map(|(index, bar)| {
        Text::new(bar.count.to_string(), (SegmentValue::CenterOf(index), bar.count), above.clone())
    });
    chart.draw_series(counts).map_err(failed)?;
    Ok(())
}
