//! Dense convolutions of the same windows become one: the windows are read once, and outputs that
//! fill no panel of weights share one.

use crate::kernels::epilogue::{Activation, PerChannel};
use crate::lower::{Fused, Lowered, Part, Step};
use crate::network::{Op, ValueId};

/// Merges what can be merged. The values of merged steps become parts of a new one, so all that
/// take them must be able to take parts.
pub(crate) fn merge(lowered: &mut Lowered) {
    let mut first = 0;
    while first < lowered.steps.len() {
        let alike: Vec<usize> = (first..lowered.steps.len())
            .filter(|&index| can_share(&lowered.steps, first, index))
            .collect();
        if alike.len() > 1 {
            merge_steps(lowered, &alike);
        }
        first += 1;
    }
}

/// Whether two steps (or one with itself) read the same windows and do the same with them.
fn can_share(steps: &[Step], first: usize, other: usize) -> bool {
    let [Some(a), Some(b)] = [&steps[first], &steps[other]].map(plain_dense) else { return false };
    let relu = [a.2, b.2].map(|fused| fused.activation == Activation::Relu);
    a.0 == b.0 && a.1 == b.1 && relu[0] == relu[1] && takes_parts(steps, b.2)
}

/// Source and window of a dense step which adds nothing to its sums and stores one value.
fn plain_dense(step: &Step) -> Option<(ValueId, crate::layout::Window, &Fused)> {
    let Step::Dense { source, window: Some(window), fused, .. } = step else { return None };
    let is_plain = fused.residual.is_none()
        && fused.affine.is_none()
        && !matches!(fused.activation, Activation::PRelu(_));
    is_plain.then_some((*source, *window, fused))
}

/// Whether all steps that take a step's value can take some channels of a larger one.
fn takes_parts(steps: &[Step], fused: &Fused) -> bool {
    let Some(value) = fused.main else { return false };
    steps.iter().filter(|step| step.inputs().contains(&value)).all(|step| {
        matches!(
            step,
            Step::Plain { op: Op::Sigmoid | Op::Relu | Op::PRelu(_) | Op::Affine { .. }, .. }
        )
    })
}

/// Replaces the first of some steps by all of them together.
fn merge_steps(lowered: &mut Lowered, alike: &[usize]) {
    let joint = ValueId(lowered.values);
    lowered.values += 1;
    let (mut all_weights, mut bias, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for &index in alike {
        let Step::Dense { weights, fused, .. } = &mut lowered.steps[index] else { continue };
        let start = bias.len();
        bias.extend_from_slice(fused.bias.values(fused.channels));
        all_weights.append(weights);
        parts.extend(fused.main.map(|value| (value, start..bias.len())));
    }
    if let Step::Dense { weights, weights_count, fused, .. } = &mut lowered.steps[alike[0]] {
        *weights_count = all_weights.len();
        *weights = all_weights;
        fused.channels = bias.len();
        fused.bias = PerChannel::new(&bias);
        fused.main = Some(joint);
    }
    for &index in alike[1..].iter().rev() {
        lowered.steps.remove(index);
    }
    let inputs = lowered.steps.iter_mut().filter_map(|step| match step {
        Step::Plain { inputs, .. } => Some(inputs),
        _ => None,
    });
    for taken in inputs.flatten().chain(&mut lowered.outputs) {
        if let Some((_, channels)) = parts.iter().find(|(value, _)| *value == taken.value) {
            *taken = Part { value: joint, channels: Some(channels.clone()), factor: taken.factor };
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lower::{Part, Step, lower};
    use crate::network::{Convolution, Network, Op, ValueId};

    fn convolution(outputs: usize) -> Op {
        Op::Convolution(Convolution {
            weight: (0..outputs * 2).map(|i| (10 * outputs + i) as f32).collect(),
            bias: vec![outputs as f32; outputs],
            input_channels: 2,
            output_channels: outputs,
            kernel: [1, 1],
            stride: 1,
            padding: 0,
            groups: 1,
        })
    }

    #[test]
    fn heads_on_one_map_become_one_step() {
        let mut network = Network::new("heads", 2);
        let scores = network.push("scores", convolution(1), &[ValueId::INPUT]);
        let boxes = network.push("boxes", convolution(3), &[ValueId::INPUT]);
        let score = network.push("score", Op::Sigmoid, &[scores]);
        network.output("score", score);
        network.output("boxes", boxes);
        let lowered = lower(&network);
        assert_eq!((lowered.steps.len(), lowered.values), (2, 5));
        let Step::Dense { weights, fused, .. } = &lowered.steps[0] else { panic!() };
        assert_eq!(weights[..4], [10.0, 11.0, 30.0, 31.0]);
        assert_eq!(fused.bias.values(4), [1.0, 3.0, 3.0, 3.0]);
        let part = |channels| Part { channels: Some(channels), ..Part::whole(ValueId(4)) };
        let Step::Plain { inputs, .. } = &lowered.steps[1] else { panic!() };
        assert_eq!(inputs[..], [part(0..1)]);
        assert_eq!(lowered.outputs[1], part(1..4));
    }

    #[test]
    fn values_that_convolutions_take_stay_apart() {
        let mut network = Network::new("branches", 2);
        let a = network.push("a", convolution(2), &[ValueId::INPUT]);
        let b = network.push("b", convolution(2), &[ValueId::INPUT]);
        let c = network.push("c", convolution(2), &[a]);
        let d = network.push("d", convolution(2), &[b]);
        network.output("c", c);
        network.output("d", d);
        assert_eq!(lower(&network).steps.len(), 4);
    }
}
