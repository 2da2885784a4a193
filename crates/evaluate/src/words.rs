//! What a comparison says, in sentences.

use crate::compare::{Comparison, PairComparison, Verdict};
use crate::metrics::Metric;

/// A value of a metric: `93.42 %`, `4.05 years`.
fn value(metric: Metric, value: f64) -> String {
    if metric.is_share() { format!("{:.2} %", 100.0 * value) } else { format!("{value:.2} years") }
}

/// A difference of two values of a metric: `1.25 points`, `0.31 years`.
fn difference(metric: Metric, value: f64) -> String {
    let unit = if metric.is_share() { "points" } else { "years" };
    format!("{} {unit}", bare(metric, value))
}

/// A difference without its unit.
fn bare(metric: Metric, value: f64) -> String {
    let scaled = if metric.is_share() { 100.0 * value } else { value };
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

/// The verdict on two heads, with its evidence.
pub(crate) fn of_pair(metric: Metric, pair: &PairComparison) -> String {
    let (first, second) = (&pair.first, &pair.second);
    let evidence = |low: f64, high: f64| {
        format!(
            "95 % interval {} to {}, {}",
            bare(metric, low),
            difference(metric, high),
            p_value(pair.adjusted_p)
        )
    };
    let (better, worse) = match pair.verdict {
        Verdict::FirstBetter => (first, second),
        Verdict::SecondBetter => (second, first),
        Verdict::Undecided => {
            return format!(
                "Nothing can be said between `{first}` and `{second}`: the {} of the first less \
                 that of the second is {} ({}). A difference of about {} would be found here four \
                 times of five.",
                noun(metric),
                difference(metric, pair.difference),
                evidence(pair.interval.low, pair.interval.high),
                difference(metric, pair.detectable)
            );
        }
    };
    // The difference is told as a size, so its interval is turned with it.
    let (low, high) = if pair.difference > 0.0 {
        (pair.interval.low, pair.interval.high)
    } else {
        (-pair.interval.high, -pair.interval.low)
    };
    format!(
        "`{better}` is better than `{worse}`: its {} is {} by {} ({}).",
        noun(metric),
        if metric.higher_is_better() { "higher" } else { "lower" },
        difference(metric, pair.difference.abs()),
        evidence(low, high)
    )
}

/// The best head, those it is better than, and those it may not be better than.
pub(crate) fn of_comparison(comparison: &Comparison) -> String {
    let metric = comparison.metric;
    let Some(&best) = comparison.ranked().first() else { return String::new() };
    let (mut beaten, mut open) = (Vec::new(), Vec::new());
    for pair in &comparison.pairs {
        let (other, better) = if pair.first == best.label {
            (&pair.second, Verdict::FirstBetter)
        } else if pair.second == best.label {
            (&pair.first, Verdict::SecondBetter)
        } else {
            continue;
        };
        let list = if pair.verdict == better { &mut beaten } else { &mut open };
        list.push(format!("`{other}`"));
    }
    let mut parts = vec![format!(
        "`{}` has the best {} ({})",
        best.label,
        noun(metric),
        value(metric, best.value)
    )];
    if !beaten.is_empty() {
        parts.push(format!("it is better than {}", beaten.join(", ")));
    }
    if !open.is_empty() {
        parts.push(format!("nothing can be said between it and {}", open.join(", ")));
    }
    format!("{}.", parts.join("; "))
}
