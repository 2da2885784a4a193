//! Text as outlines, for renderings that must not depend on the fonts of a machine.

use ab_glyph::{Font as _, FontRef, OutlineCurve};
use facefold_core::font::DEJAVU_SANS;

use crate::drawing::Anchor;

/// A step of an outline, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    /// Begins a contour.
    Move((f64, f64)),
    Line((f64, f64)),
    /// A cubic curve with two control points.
    Curve((f64, f64), (f64, f64), (f64, f64)),
}

/// The outlines of a text whose baseline is at a point. A letter that the font lacks is a box.
pub(crate) fn outlines(
    text: &str,
    at: (f64, f64),
    size: f64,
    anchor: Anchor,
    upward: bool,
) -> Vec<Step> {
    // The embedded file can be read, which a test checks.
    let Ok(font) = FontRef::try_from_slice(DEJAVU_SANS) else { return Vec::new() };
    let scale = size / f64::from(font.units_per_em().unwrap_or(2048.0));
    let advance = |letter| scale * f64::from(font.h_advance_unscaled(font.glyph_id(letter)));
    let width: f64 = text.chars().map(advance).sum();
    let mut left = match anchor {
        Anchor::Middle => -width / 2.0,
        Anchor::End => -width,
    };
    let mut steps = Vec::new();
    for letter in text.chars() {
        let place = |point: ab_glyph::Point| {
            let along = left + scale * f64::from(point.x);
            let up = scale * f64::from(point.y);
            if upward { (at.0 - up, at.1 - along) } else { (at.0 + along, at.1 - up) }
        };
        if let Some(outline) = font.outline(font.glyph_id(letter)) {
            add(&mut steps, &outline.curves, place);
        }
        left += advance(letter);
    }
    steps
}

fn add(
    steps: &mut Vec<Step>,
    curves: &[OutlineCurve],
    place: impl Fn(ab_glyph::Point) -> (f64, f64),
) {
    let mut last = None;
    for curve in curves {
        let (start, step, end) = match *curve {
            OutlineCurve::Line(from, to) => (from, Step::Line(place(to)), to),
            OutlineCurve::Quad(from, control, to) => {
                let [start, middle, end] = [from, control, to].map(&place);
                // The cubic curve that is this quadratic one.
                let towards = |(x, y): (f64, f64)| {
                    (x + (middle.0 - x) * 2.0 / 3.0, y + (middle.1 - y) * 2.0 / 3.0)
                };
                (from, Step::Curve(towards(start), towards(end), end), to)
            }
            OutlineCurve::Cubic(from, one, two, to) => {
                (from, Step::Curve(place(one), place(two), place(to)), to)
            }
        };
        if last != Some(start) {
            steps.push(Step::Move(place(start)));
        }
        steps.push(step);
        last = Some(end);
    }
}

#[cfg(test)]
mod tests {
    use super::{Step, outlines};
    use crate::drawing::Anchor;

    fn ends(steps: &[Step]) -> Vec<(f64, f64)> {
        let end = |step: &Step| match *step {
            Step::Move(to) | Step::Line(to) | Step::Curve(_, _, to) => to,
        };
        steps.iter().map(end).collect()
    }

    #[test]
    fn text_stands_left_of_its_end_and_above_its_baseline() {
        let level = ends(&outlines("HH", (100.0, 50.0), 12.0, Anchor::End, false));
        assert!(level.len() > 20);
        assert!(level.iter().all(|&(x, y)| x > 78.0 && x < 100.0 && y > 40.0 && y <= 50.0));
        let upward = ends(&outlines("HH", (100.0, 50.0), 12.0, Anchor::End, true));
        assert!(upward.iter().all(|&(x, y)| x > 90.0 && x <= 100.0 && y > 50.0 && y < 72.0));
        let middle = ends(&outlines("HH", (100.0, 50.0), 12.0, Anchor::Middle, false));
        let mean = middle.iter().map(|&(x, _)| x).sum::<f64>() / middle.len() as f64;
        assert!((mean - 100.0).abs() < 0.5, "{mean}");
    }

    #[test]
    fn letters_that_the_font_lacks_are_boxes() {
        assert!(!outlines("字", (0.0, 0.0), 12.0, Anchor::End, false).is_empty());
        assert!(outlines(" ", (0.0, 0.0), 12.0, Anchor::End, false).is_empty());
    }
}
