//! A plot of estimates with their intervals, a line each.

use super::{BOTTOM, INK, Scale, TOP, WIDTH, short, shortened, widest};
use crate::drawing::{Anchor, Drawing, Paint, text_width};

/// A value with its interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Its name, left of the plot.
    pub label: String,
    /// The value.
    pub value: f64,
    /// Where its interval begins and ends.
    pub interval: (f64, f64),
}

/// A forest plot: estimates under each other, each a dot on its interval, with its numbers on the right.
#[must_use]
pub fn forest(title: &str, axis: &str, estimates: &[Estimate]) -> Drawing {
    const ROW: f64 = 26.0;
    let labels: Vec<String> = estimates.iter().map(|one| shortened(&one.label)).collect();
    let numbers: Vec<String> = estimates.iter().map(in_numbers).collect();
    let left = 16.0 + widest(&labels, 12.0);
    let right = WIDTH - 16.0 - widest(&numbers, 12.0);
    let bottom = TOP + ROW * estimates.len() as f64 + 4.0;
    let ends = estimates.iter().flat_map(|one| [one.value, one.interval.0, one.interval.1]);
    let x = Scale::around(&ends.filter(|end| end.is_finite()).collect::<Vec<_>>(), left, right);
    let mut plot = Drawing::new(WIDTH, bottom + BOTTOM);
    plot.title(title);
    plot.text((f64::midpoint(left, right), bottom + 38.0), 13.0, Anchor::Middle, INK, axis);
    ticks(&mut plot, &x, bottom);
    for (index, one) in estimates.iter().enumerate() {
        let middle = TOP + ROW * (index as f64 + 0.5) + 2.0;
        plot.text((left - 8.0, middle + 4.0), 12.0, Anchor::End, INK, &labels[index]);
        plot.text((WIDTH - 8.0, middle + 4.0), 12.0, Anchor::End, INK, &numbers[index]);
        if one.value.is_finite() && one.interval.0.is_finite() && one.interval.1.is_finite() {
            let (low, high) = (x.at(one.interval.0), x.at(one.interval.1));
            plot.rectangle(low, middle - 1.0, (high - low).max(1.0), 2.0, INK);
            plot.rectangle(x.at(one.value) - 4.5, middle - 4.5, 9.0, 9.0, Paint::Series(0));
        }
    }
    plot
}

/// Lines behind the plot, and as many of their numbers as fit.
fn ticks(plot: &mut Drawing, x: &Scale, bottom: f64) {
    let mut free = f64::NEG_INFINITY;
    for tick in x.ticks() {
        plot.line((x.at(tick), TOP), (x.at(tick), bottom), Paint::Grid);
        let half = text_width(&short(tick), 12.0) / 2.0;
        if x.at(tick) - half > free {
            plot.text((x.at(tick), bottom + 16.0), 12.0, Anchor::Middle, INK, &short(tick));
            free = x.at(tick) + half + 6.0;
        }
    }
}

/// `4.05 (3.97 to 4.13)`.
fn in_numbers(one: &Estimate) -> String {
    format!("{:.2} ({:.2} to {:.2})", one.value, one.interval.0, one.interval.1)
}

#[cfg(test)]
mod tests {
    use super::{Estimate, forest};

    #[test]
    fn every_estimate_has_its_dot_inside_its_interval_and_its_numbers() {
        let one = |label: &str, value: f64| Estimate {
            label: label.to_owned(),
            value,
            interval: (value - 0.5, value + 1.0),
        };
        let plot = forest("t", "MAE (years)", &[one("a < b", 4.0), one("svm", 6.0)]).svg();
        for text in ["a &lt; b", ">4.00 (3.50 to 5.00)<", ">6.00 (5.50 to 7.00)<", ">MAE (years)<"]
        {
            assert!(plot.contains(text), "{text}: {plot}");
        }
        let places = |class: &str| -> Vec<(f64, f64)> {
            let number = |line: &str, name: &str| -> f64 {
                line.split(&format!(" {name}=\""))
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap()
            };
            let drawn =
                plot.lines().filter(|line| line.starts_with("<rect") && line.contains(class));
            drawn.map(|line| (number(line, "x"), number(line, "width"))).collect()
        };
        let (dots, bars) = (places("class=\"s0\""), places("class=\"ink\""));
        assert_eq!((dots.len(), bars.len()), (2, 2));
        for ((dot, side), (bar, width)) in dots.into_iter().zip(bars) {
            // A third of the interval lies below the value.
            assert!((dot + side / 2.0 - bar - width / 3.0).abs() < 0.2, "{dot} on {bar}, {width}");
        }
        let empty = forest("t", "x", &[]).svg();
        assert!(!empty.contains("NaN") && !empty.contains("inf"), "{empty}");
    }
}
