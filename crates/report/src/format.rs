//! Numbers as tables show them.

use facefold_evaluate::Metric;
use facefold_evaluate::statistics::bootstrap::Interval;

/// The text of an empty cell.
pub(crate) const NONE: &str = "–";

/// `12,345`.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A metric's value without its unit: fractions in per cent, years as they are, coefficients with a
/// digit more.
pub(crate) fn value(metric: Metric, value: f64) -> String {
    if metric.is_coefficient() {
        return format!("{value:.3}");
    }
    let scaled = if metric.is_fraction() { 100.0 * value } else { value };
    // Not "-0.00".
    let shown = if (scaled * 100.0).round() == 0.0 { 0.0 } else { scaled };
    format!("{shown:.2}")
}

/// The same, or a dash.
pub(crate) fn optional(metric: Metric, number: Option<f64>) -> String {
    number.map_or_else(|| NONE.to_owned(), |number| value(metric, number))
}

/// A metric's name with its unit.
pub(crate) fn heading(metric: Metric) -> String {
    if metric.is_fraction() { format!("{} (%)", metric.name()) } else { metric.name().to_owned() }
}

/// `92.9 to 93.9`.
pub(crate) fn interval(metric: Metric, interval: Interval) -> String {
    format!("{} to {}", value(metric, interval.low), value(metric, interval.high))
}

/// `0.032`, `< 0.001`.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// `41 s`, `12 min 3 s`, `2 h 5 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 if seconds < 10.0 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `3.7 GiB`.
pub(crate) fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1_u32 << 30))
}

#[cfg(test)]
mod tests {
    use super::{count, duration, p_value, value};
    use facefold_evaluate::Metric;

    #[test]
    fn numbers_are_formatted() {
        assert_eq!([count(7), count(1234), count(1_234_567)], ["7", "1,234", "1,234,567"]);
        assert_eq!(value(Metric::Accuracy, 0.93416), "93.42");
        assert_eq!(value(Metric::MeanAbsoluteError, -0.001), "0.00");
        assert_eq!(value(Metric::Correlation, 0.9666), "0.967");
        assert_eq!([p_value(0.0004), p_value(0.032)], ["< 0.001", "0.032"]);
        let shown = [3.21, 41.4, 723.0, 7500.0].map(duration);
        assert_eq!(shown, ["3.2 s", "41 s", "12 min 3 s", "2 h 5 min"]);
    }
}
