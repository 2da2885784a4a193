//! A plot of how many rows have which two values.

use super::{BOTTOM, HEIGHT, INK, LEFT, Labels, RIGHT, Scale, TOP, WIDTH, frame, short, y_axis};
use crate::drawing::{Anchor, Drawing, Paint};

/// Squares of `width` in both directions, by their numbers from 0 on: darker where more rows are, the
/// darkest where most are. The dashed line is where both values are the same.
#[must_use]
pub fn density(labels: Labels<'_>, width: f64, bins: &[(u32, u32, u64)]) -> Drawing {
    let last = bins.iter().map(|&(x, y, _)| x.max(y)).max().unwrap_or(0);
    let ends = [0.0, width * (f64::from(last) + 1.0)];
    let x = Scale::around(&ends, LEFT, WIDTH - RIGHT);
    let y = Scale::around(&ends, HEIGHT - BOTTOM, TOP);
    let most = bins.iter().map(|&(_, _, rows)| rows).max().unwrap_or(1) as f64;
    let mut plot = Drawing::new(WIDTH, HEIGHT);
    frame(&mut plot, labels);
    for tick in x.ticks() {
        plot.line((x.at(tick), TOP), (x.at(tick), HEIGHT - BOTTOM), Paint::Grid);
        let below = (x.at(tick), HEIGHT - BOTTOM + 16.0);
        plot.text(below, 12.0, Anchor::Middle, INK, &short(tick));
    }
    y_axis(&mut plot, &y);
    for &(column, row, rows) in bins {
        let (left, top) = (x.at(width * f64::from(column)), y.at(width * (f64::from(row) + 1.0)));
        let size = (x.at(width) - x.at(0.0), y.at(0.0) - y.at(width));
        // The root shows single rows next to thousands.
        plot.shade((left, top), size, 0.12 + 0.88 * (rows as f64 / most).sqrt());
    }
    let diagonal = ends.map(|end| (x.at(end), y.at(end)));
    plot.polyline(diagonal.into_iter(), INK, 0.6, true);
    plot
}

#[cfg(test)]
mod tests {
    use super::density;
    use crate::plot::Labels;

    #[test]
    fn a_square_stands_where_its_rows_are_and_is_darker_with_more() {
        let labels = Labels { title: "a < b", x: "true age", y: "predicted age" };
        let plot = density(labels, 2.0, &[(0, 0, 100), (4, 9, 1)]).svg();
        let squares: Vec<&str> =
            plot.lines().filter(|line| line.contains("class=\"s0\"")).collect();
        assert_eq!(squares.len(), 2);
        assert!(squares[0].contains("x=\"60.0\"") && !squares[0].contains("opacity"));
        assert!(squares[1].contains("fill-opacity=\"0.208\""), "{}", squares[1]);
        assert!(plot.contains("a &lt; b") && plot.contains(">predicted age<"));
        let empty = density(labels, 2.0, &[]).svg();
        assert!(!empty.contains("NaN") && !empty.contains("inf"), "{empty}");
    }
}
