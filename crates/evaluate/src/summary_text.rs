//! Summary sentences of a comparison.

use facefold_core::Task;

use crate::compare::{Decision, PairComparison};
use crate::metrics::Metric;

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

/// The decision on two heads: which is better, on what, by how much, with the 95 % interval and p.
pub(crate) fn of_pair(task: Task, metric: Metric, pair: &PairComparison) -> String {
    let name = task.as_str().replace('-', " ");
    let (better, worse) = match pair.decision {
        Decision::FirstBetter => (&pair.first, &pair.second),
        Decision::SecondBetter => (&pair.second, &pair.first),
        Decision::Undecided => {
            let (first, second) = (&pair.first, &pair.second);
            let metric_of_first = format!("{} of `{first}`", noun(metric));
            return format!(
                "No significant difference between `{first}` and `{second}` on {name}: \
                 {metric_of_first} {}; minimum detectable difference {} at 80 % power.",
                evidence(metric, pair, pair.difference > 0.0),
                difference(metric, pair.minimum_detectable_difference)
            );
        }
    };
    format!(
        "`{better}` is better than `{worse}` on {name}: {} {}.",
        noun(metric),
        evidence(metric, pair, metric.higher_is_better())
    )
}

/// `lower by 0.53 years (95 % interval 0.49 to 0.58, p < 0.001)`: the difference without its sign, and
/// its interval turned the same way.
fn evidence(metric: Metric, pair: &PairComparison, higher: bool) -> String {
    let (low, high) = if pair.difference > 0.0 {
        (pair.interval.low, pair.interval.high)
    } else {
        (-pair.interval.high, -pair.interval.low)
    };
    format!(
        "{} by {} (95 % interval {} to {}, {})",
        if higher { "higher" } else { "lower" },
        difference(metric, pair.difference.abs()),
        bare(metric, low),
        bare(metric, high),
        p_value(pair.adjusted_p)
    )
}
