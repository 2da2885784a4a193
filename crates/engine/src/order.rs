//! Reorders steps so that each reads what was just computed, and removes values that need not be
//! stored.

use crate::lower::{Lowered, Part, Step};
use crate::network::{Op, ValueId};

/// Fuses upsampling into the sums that read it, so that the upsampled value need not be stored.
pub(crate) fn fuse_upsample(lowered: &mut Lowered) {
    let Lowered { steps, outputs, .. } = lowered;
    let mut index = 0;
    while index < steps.len() {
        let Step::Plain { op: Op::Upsample(factor), inputs, output, .. } = &steps[index] else {
            index += 1;
            continue;
        };
        let (large, small) = (Part::whole(*output), Part { factor: *factor, ..inputs[0].clone() });
        let is_small = inputs[0].factor == 1;
        let is_output = outputs.contains(&large);
        let mut readers = steps.iter().filter(|step| step.inputs().contains(&large.value));
        let is_sum = |step: &Step| matches!(step, Step::Plain { op: Op::Add, .. });
        if !is_small || is_output || !readers.all(is_sum) {
            index += 1;
            continue;
        }
        steps.remove(index);
        for step in steps.iter_mut() {
            if let Step::Plain { inputs, .. } = step {
                inputs.iter_mut().filter(|input| **input == large).for_each(|input| {
                    *input = small.clone();
                });
            }
        }
    }
}

/// Moves a convolution to fewer channels to right after the step that computes its source, so that
/// the source need not be fetched from memory again, or not be kept at all.
pub(crate) fn hoist_narrowing_convolutions(steps: Vec<Step>) -> Vec<Step> {
    let mut sorted: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        let producer =
            |source| sorted.iter().position(|earlier| earlier.outputs().contains(&source));
        let place = match &step {
            Step::Dense { source, fused, .. } if fused.residual.is_none() => producer(*source)
                .filter(|&producer| {
                    sorted[producer].fused().is_some_and(|f| f.channels > fused.channels)
                })
                .map(|producer| producer + 1),
            _ => None,
        };
        sorted.insert(place.unwrap_or(sorted.len()), step);
    }
    sorted
}

/// Moves the pooling of a map to right after the step that computes the map, so that the map need
/// not be kept.
pub(crate) fn hoist_pooling(steps: Vec<Step>) -> Vec<Step> {
    let (mut pooling, others): (Vec<_>, Vec<_>) =
        steps.into_iter().partition(|step| matches!(step, Step::Plain { op: Op::Moments, .. }));
    let mut sorted = Vec::with_capacity(pooling.len() + others.len());
    let mut made = vec![ValueId::INPUT];
    for step in others {
        let read = |pool: &mut Step| pool.inputs().iter().any(|input| made.contains(input));
        sorted.extend(pooling.extract_if(.., read));
        made = step.outputs();
        sorted.push(step);
    }
    sorted.extend(pooling);
    sorted
}

#[cfg(test)]
mod tests {
    use crate::lower::{Part, Step, lower};
    use crate::network::{Network, Op, ValueId};

    #[test]
    fn upsampling_is_fused_into_sums() {
        let mut network = Network::new("pyramid", 2);
        let pooling = Op::MaxPool { kernel: 2, stride: 2, padding: 0, ceil: false };
        let small = network.push("small", pooling, &[ValueId::INPUT]);
        let large = network.push("large", Op::Upsample(2), &[small]);
        let sum = network.push("sum", Op::Add, &[ValueId::INPUT, large]);
        network.output("sum", sum);
        let steps = lower(&network).steps;
        assert_eq!(steps.len(), 2);
        let Step::Plain { inputs, .. } = &steps[1] else { panic!("{:?}", steps[1]) };
        let enlarged = Part { factor: 2, ..Part::whole(small) };
        assert_eq!(inputs[..], [Part::whole(ValueId::INPUT), enlarged]);
        // Not where others need it.
        network.output("large", large);
        assert_eq!(lower(&network).steps.len(), 3);
    }
}
