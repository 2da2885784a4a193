//! Summary sentences of a comparison.

use crate::compare::{Comparison, Decision, PairComparison};
use crate::metrics::Metric;

/// A value of a metric: `93.42 %`, `4.05 years`.
fn value(metric: Metric, value: f64) -> String {
    if metric.is_fraction() {
        format!("{:.2} %", 100.0 * value)
    } else {
        format!("{value:.2} years")
    }
}

/// A difference of two values of a metric: `1.25 points`, `0.31 years`.
fn difference(metric: Metric, value: f64) -> String {
    let unit = if metric.is_fraction() { "points" } else { "years" };
    format!("{} {unit}", bare(metric, value))
}

/// A difference without its unit.
fn bare(metric: Metric, value: f64) -> String {
    let scaled = if metric.is_fraction() { 100.0 * value } else { value };
    // Not "-0.00".
    let shown = if (scaled * 100.0).round() == 0.0 { 0.0 } else { scaled };
    format!("{shown:.2}")
}

/// The name of a class in a sentence.
pub(crate) fn class(name: &str) -> String {
    format!("`{}`", name.replace('`', "'"))
}

/// A metric's name without its unit, which the sentence gives.
fn noun(metric: Metric) -> &'static str {
    match metric {
        Metric::MeanAbsoluteError => "mean absolute error",
        Metric::RangeDistance => "mean distance to the age range",
        _ => metric.name(),
    }
}

fn p_value(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") }
}

/// The decision on two heads, with the difference, its 95 % CI and p.
pub(crate) fn of_pair(metric: Metric, pair: &PairComparison) -> String {
    let (first, second) = (&pair.first, &pair.second);
    let evidence = |low: f64, high: f64| {
        format!(
            "95 % CI {} to {}, {}",
            bare(metric, low),
            difference(metric, high),
            p_value(pair.adjusted_p)
        )
    };
    let (better, worse) = match pair.decision {
        Decision::FirstBetter => (first, second),
        Decision::SecondBetter => (second, first),
        Decision::Undecided => {
            return format!(
                "No significant difference between `{first}` and `{second}` in {}: {} ({}); minimum \
                 detectable difference {} at 80 % power.",
                noun(metric),
                difference(metric, pair.difference),
                evidence(pair.interval.low, pair.interval.high),
                difference(metric, pair.minimum_detectable_difference)
            );
        }
    };
    // The difference is shown without its sign, so its interval has the sign of the better head.
    let (low, high) = if pair.difference > 0.0 {
        (pair.interval.low, pair.interval.high)
    } else {
        (-pair.interval.high, -pair.interval.low)
    };
    format!(
        "`{better}` is significantly better than `{worse}`: its {} is {} by {} ({}).",
        noun(metric),
        if metric.higher_is_better() { "higher" } else { "lower" },
        difference(metric, pair.difference.abs()),
        evidence(low, high)
    )
}

/// The best head, those it is significantly better than, and those it is not.
pub(crate) fn of_comparison(comparison: &Comparison) -> String {
    let metric = comparison.metric;
    let Some(&best) = comparison.ranked().first() else { return String::new() };
    let (mut beaten, mut open) = (Vec::new(), Vec::new());
    for pair in &comparison.pairs {
        let (other, better) = if pair.first == best.label {
            (&pair.second, Decision::FirstBetter)
        } else if pair.second == best.label {
            (&pair.first, Decision::SecondBetter)
        } else {
            continue;
        };
        let list = if pair.decision == better { &mut beaten } else { &mut open };
        list.push(format!("`{other}`"));
    }
    let mut parts = vec![format!(
        "`{}` has the best {} ({})",
        best.label,
        noun(metric),
        value(metric, best.value)
    )];
    if !beaten.is_empty() {
        parts.push(format!("it is significantly better than {}", beaten.join(", ")));
    }
    if !open.is_empty() {
        parts.push(format!("no significant difference to {}", open.join(", ")));
    }
    format!("{}.", parts.join("; "))
}
