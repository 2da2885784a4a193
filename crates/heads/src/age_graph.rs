//! Point estimates of the age from probabilities of the ages 0, 1, 2, … years, in a computation
//! graph.

use facefold_onnx::computation::{ComputationGraph, Operation, Value};

use crate::loss::YEARS;

/// The mean of the distribution, n x 1: [`crate::loss::expectation`].
pub(crate) fn expectation(graph: &mut ComputationGraph, probabilities: Value) -> Value {
    let years = graph.matrix("years", 1, (0..YEARS).map(|year| year as f32).collect());
    graph.compute(Operation::MatMul, &[probabilities, years])
}

/// The median year of the distribution, n x 1: [`crate::loss::median_year`]. A year counts 1 if
/// all of its probability lies below the median.
pub(crate) fn median_year(graph: &mut ComputationGraph, probabilities: Value) -> Value {
    let state = parts_below_median(graph, probabilities);
    let whole = graph.compute(Operation::Floor, &[state]);
    let years = graph.compute(Operation::RowSum, &[whole]);
    graph.with(Operation::Minimum, years, (YEARS - 1) as f32)
}

/// The median of the distribution, n x 1: [`facefold_core::median_age`], written as a sum.
///
/// A year that lies wholly below the median counts 1, the year of the median the part of its
/// probability that lies below, a year above 0; years begin at -0.5.
pub(crate) fn median(graph: &mut ComputationGraph, probabilities: Value) -> Value {
    let state = parts_below_median(graph, probabilities);
    let year = graph.compute(Operation::RowSum, &[state]);
    let year = graph.with(Operation::Add, year, -0.5);
    graph.rectify(year)
}

/// Which part of each year's probability lies below the median, 0 to 1.
fn parts_below_median(graph: &mut ComputationGraph, probabilities: Value) -> Value {
    let sum = graph.compute(Operation::RowSum, &[probabilities]);
    let half = graph.with(Operation::Multiply, sum, 0.5);
    let below = graph.compute(Operation::CumulativeSum, &[probabilities]);
    let missing = graph.compute(Operation::Subtract, &[half, below]);
    // A year without probability lies on one side of the median: the quotient is far from 0 and
    // 1, or 0 where the median is reached.
    let probabilities = graph.with(Operation::Maximum, probabilities, f32::MIN_POSITIVE);
    let part = graph.compute(Operation::Divide, &[missing, probabilities]);
    let part = graph.rectify(part);
    graph.with(Operation::Minimum, part, 1.0)
}
