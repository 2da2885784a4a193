//! A plot of dots over places in a ranking.

use super::{
    BOTTOM, HEIGHT, INK, LEFT, Labels, RIGHT, Scale, TOP, WIDTH, frame, legend, short, y_axis,
};
use crate::drawing::{Anchor, Drawing, Paint};

/// A plot of dots, a colour a series. x counts from 1; a value that is not finite has no dot.
#[must_use]
pub fn dots(labels: Labels<'_>, series: &[(String, Vec<(usize, f64)>)]) -> Drawing {
    let all = || series.iter().flat_map(|(_, dots)| dots).filter(|(_, y)| y.is_finite());
    let last = all().map(|&(x, _)| x).max().unwrap_or(1);
    let mut values: Vec<f64> = all().map(|&(_, y)| y).collect();
    if series.len() > 1 {
        // The legend stands above all dots.
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        values.push(highest + 0.12 * series.len() as f64 * (highest - lowest));
        values.retain(|value| value.is_finite());
    }
    let y = Scale::around(&values, HEIGHT - BOTTOM, TOP);
    let step = (WIDTH - LEFT - RIGHT) / last as f64;
    let at = |x: usize| LEFT + (x as f64 - 0.5) * step;
    let mut plot = Drawing::new(WIDTH, HEIGHT);
    frame(&mut plot, labels);
    y_axis(&mut plot, &y);
    // Numbers that would run into each other are thinned out.
    let shown_every = (24.0 / step).ceil().max(1.0) as usize;
    for x in (1..=last).step_by(shown_every) {
        let below = (at(x), HEIGHT - BOTTOM + 16.0);
        plot.text(below, 12.0, Anchor::Middle, INK, &short(x as f64));
    }
    for (number, (_, dots)) in series.iter().enumerate() {
        for &(x, value) in dots.iter().filter(|(_, value)| value.is_finite()) {
            plot.dot((at(x), y.at(value)), 3.5, Paint::Series(number));
        }
    }
    if series.len() > 1 {
        let named = series.iter().enumerate().map(|(number, (name, _))| (name.as_str(), number));
        legend(&mut plot, TOP + 14.0, named);
    }
    plot
}

#[cfg(test)]
mod tests {
    use super::dots;
    use crate::plot::Labels;

    #[test]
    fn every_finite_value_has_a_dot() {
        let labels = Labels { title: "a < b", x: "place", y: "years" };
        let series = [
            ("whole".to_owned(), vec![(1, 4.0), (2, 4.5)]),
            ("a third".to_owned(), vec![(1, 5.0), (2, f64::NAN), (3, 6.0)]),
        ];
        let plot = dots(labels, &series).svg();
        assert_eq!(plot.matches("<circle").count(), 4);
        assert!(plot.contains(">a third<") && plot.contains("a &lt; b") && !plot.contains("NaN"));
        let empty = dots(labels, &[]).svg();
        assert!(!empty.contains("NaN") && !empty.contains("inf"), "{empty}");
    }
}
