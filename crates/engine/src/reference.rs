//! The plain executor: every layer straight from its definition, sums in f64; what the fast
//! kernels are tested against.

use crate::executor::{EngineError, Executor, Images, Tensor};
use crate::network::{Convolution, Network, Op, Shape};

/// Runs a network by nested loops, one picture after another. Values are kept in f32, sums are
/// taken in f64, so that its own error is a rounding of each value to f32.
#[derive(Debug, Clone)]
pub struct Reference {
    network: Network,
}

impl Reference {
    /// An executor of this network.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        Self { network: network.clone() }
    }
}

impl Executor for Reference {
    fn run(&self, images: Images<'_>) -> Result<Vec<Tensor>, EngineError> {
        images.check(self.network.input_channels)?;
        let shapes = self.network.shapes(images.shape.height, images.shape.width)?;
        let mut outputs: Vec<Tensor> = self
            .network
            .outputs
            .iter()
            .map(|output| Tensor {
                data: Vec::with_capacity(images.count * shapes[output.value.0].size()),
                count: images.count,
                shape: shapes[output.value.0],
            })
            .collect();
        for image in images.data.chunks_exact(images.shape.size().max(1)) {
            let mut values = vec![image.to_vec()];
            for (index, layer) in self.network.layers.iter().enumerate() {
                let inputs: Vec<Map<'_>> = layer
                    .inputs
                    .iter()
                    .map(|id| Map { values: &values[id.0], shape: shapes[id.0] })
                    .collect();
                values.push(compute(&layer.op, &inputs, shapes[index + 1]));
            }
            for (tensor, output) in outputs.iter_mut().zip(&self.network.outputs) {
                tensor.data.extend_from_slice(&values[output.value.0]);
            }
        }
        Ok(outputs)
    }

    fn describe(&self) -> String {
        "reference f32".to_owned()
    }
}

/// One value of one picture, NHWC.
#[derive(Clone, Copy)]
struct Map<'a> {
    values: &'a [f32],
    shape: Shape,
}

impl Map<'_> {
    fn at(&self, y: usize, x: usize, channel: usize) -> f32 {
        self.values[(y * self.shape.width + x) * self.shape.channels + channel]
    }

    /// The positions inside the picture of a window's cells, with the cell.
    fn window(
        &self,
        [y, x]: [usize; 2],
        [height, width]: [usize; 2],
        stride: usize,
        padding: usize,
    ) -> impl Iterator<Item = ([usize; 2], [usize; 2])> {
        let shape = self.shape;
        (0..height).flat_map(move |i| (0..width).map(move |j| [i, j])).filter_map(move |[i, j]| {
            let row = (y * stride + i).checked_sub(padding)?;
            let column = (x * stride + j).checked_sub(padding)?;
            (row < shape.height && column < shape.width).then_some(([row, column], [i, j]))
        })
    }
}

/// A value made cell by cell.
fn fill(shape: Shape, cell: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
    let mut values = Vec::with_capacity(shape.size());
    for y in 0..shape.height {
        for x in 0..shape.width {
            values.extend((0..shape.channels).map(|channel| cell(y, x, channel)));
        }
    }
    values
}

fn compute(op: &Op, inputs: &[Map<'_>], shape: Shape) -> Vec<f32> {
    let Some(&x) = inputs.first() else { return Vec::new() };
    match op {
        Op::Convolution(convolution) => convolve(convolution, x, shape),
        Op::PRelu(slope) => fill(shape, |i, j, c| {
            let v = x.at(i, j, c);
            if v > 0.0 { v } else { slope[c] * v }
        }),
        Op::Relu => x.values.iter().map(|v| v.max(0.0)).collect(),
        Op::Sigmoid => {
            x.values.iter().map(|&v| (1.0 / (1.0 + f64::from(-v).exp())) as f32).collect()
        }
        Op::Add => x.values.iter().zip(inputs[1].values).map(|(a, b)| a + b).collect(),
        Op::Affine { scale, shift } => fill(shape, |i, j, c| {
            (f64::from(scale[c]) * f64::from(x.at(i, j, c)) + f64::from(shift[c])) as f32
        }),
        Op::Upsample(factor) => fill(shape, |i, j, c| x.at(i / factor, j / factor, c)),
        Op::Concat => fill(shape, |i, j, mut c| {
            for input in inputs {
                if c < input.shape.channels {
                    return input.at(i, j, c);
                }
                c -= input.shape.channels;
            }
            0.0
        }),
        Op::MaxPool { kernel, stride, padding, .. } => fill(shape, |i, j, c| {
            x.window([i, j], [*kernel; 2], *stride, *padding)
                .map(|([row, column], _)| x.at(row, column, c))
                .fold(f32::NEG_INFINITY, f32::max)
        }),
        Op::AveragePool { kernel, stride, padding, .. } => fill(shape, |i, j, c| {
            let (mut sum, mut count) = (0.0, 0.0);
            for ([row, column], _) in x.window([i, j], [*kernel; 2], *stride, *padding) {
                sum += f64::from(x.at(row, column, c));
                count += 1.0;
            }
            (sum / count) as f32
        }),
        Op::Flatten => {
            let plane = x.shape.height * x.shape.width;
            let width = x.shape.width;
            fill(shape, |_, _, i| x.at(i % plane / width, i % width, i / plane))
        }
        Op::Linear { weight, bias } => weight
            .chunks_exact(x.values.len())
            .zip(bias)
            .map(|(row, &bias)| {
                let products = row.iter().zip(x.values).map(|(&w, &v)| f64::from(w) * f64::from(v));
                (f64::from(bias) + products.sum::<f64>()) as f32
            })
            .collect(),
        Op::Moments => moments(x),
    }
}

fn convolve(convolution: &Convolution, x: Map<'_>, shape: Shape) -> Vec<f32> {
    let c = convolution;
    let depth = c.input_channels / c.groups;
    let outputs_a_group = c.output_channels / c.groups;
    let [height, width] = c.kernel;
    fill(shape, |i, j, output| {
        let first = output / outputs_a_group * depth;
        let mut sum = f64::from(c.bias[output]);
        for ([row, column], [ky, kx]) in x.window([i, j], c.kernel, c.stride, c.padding) {
            for input in 0..depth {
                let weight = c.weight[((output * depth + input) * height + ky) * width + kx];
                sum += f64::from(weight) * f64::from(x.at(row, column, first + input));
            }
        }
        sum as f32
    })
}

fn moments(x: Map<'_>) -> Vec<f32> {
    let count = (x.shape.height * x.shape.width) as f64;
    let channel =
        |c: usize| x.values.iter().skip(c).step_by(x.shape.channels).map(|&v| f64::from(v));
    let means: Vec<f64> = (0..x.shape.channels).map(|c| channel(c).sum::<f64>() / count).collect();
    let deviations = means.iter().enumerate().map(|(c, mean)| {
        (channel(c).map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt() as f32
    });
    means.iter().map(|&mean| mean as f32).chain(deviations).collect()
}

#[cfg(test)]
mod tests {
    use super::Reference;
    use crate::executor::{Executor, Images};
    use crate::network::{Convolution, Network, Op, Shape, ValueId};

    /// Runs one layer on one picture.
    fn layer(op: Op, [channels, height, width]: [usize; 3], values: &[f32]) -> Vec<f32> {
        let mut network = Network::new("test", channels);
        let y = network.push("layer", op, &[ValueId::INPUT]);
        network.output("y", y);
        run(&network, [channels, height, width], 1, values)
    }

    fn run(network: &Network, shape: [usize; 3], count: usize, values: &[f32]) -> Vec<f32> {
        let [channels, height, width] = shape;
        let images = Images { data: values, count, shape: Shape { channels, height, width } };
        Reference::new(network).run(images).unwrap().remove(0).data
    }

    fn convolution(weight: Vec<f32>, channels: [usize; 2], groups: usize, stride: usize) -> Op {
        let kernel = (weight.len() * groups / (channels[0] * channels[1])).isqrt();
        Op::Convolution(Convolution {
            weight,
            bias: (0..channels[1]).map(|c| 100.0 * c as f32).collect(),
            input_channels: channels[0],
            output_channels: channels[1],
            kernel: [kernel; 2],
            stride,
            padding: kernel / 2,
            groups,
        })
    }

    #[test]
    fn a_3x3_convolution_is_a_correlation_with_zeros_around() {
        // 1 2 3      weights 1..9: the centre cell sees everything: sum of i * i = 285;
        // 4 5 6      the corner (0,0) sees 1 2 4 5 under 5 6 8 9: 5 + 12 + 32 + 45 = 94.
        // 7 8 9
        let x: Vec<f32> = (1..=9).map(|v| v as f32).collect();
        let y = layer(convolution(x.clone(), [1, 1], 1, 1), [1, 3, 3], &x);
        assert_eq!(y, [94., 154., 106., 186., 285., 186., 106., 154., 94.]);
        let strided = layer(convolution(x.clone(), [1, 1], 1, 2), [1, 3, 3], &x);
        assert_eq!(strided, [94., 106., 106., 94.]);
    }

    #[test]
    fn channels_and_groups_take_their_own_weights() {
        // Two pixels of four channels; out = weight (out x in) applied to each pixel.
        let x = [1., 2., 3., 4., 10., 20., 30., 40.];
        let dense = convolution(vec![1., 0., 0., 1., 0., 1., 1., 0.], [4, 2], 1, 1);
        assert_eq!(layer(dense, [4, 1, 2], &x), [5., 105., 50., 150.]);
        // Two groups of two: outputs 0, 1 see channels 0, 1; outputs 2, 3 see channels 2, 3.
        let groups = convolution(vec![1., 0., 0., 1., 1., 1., 1., -1.], [4, 4], 2, 1);
        assert_eq!(layer(groups, [4, 1, 2], &x), [1., 102., 207., 299., 10., 120., 270., 290.]);
        let depthwise = convolution(vec![1., 2., 3., 4.], [4, 4], 4, 1);
        assert_eq!(layer(depthwise, [4, 1, 2], &x), [1., 104., 209., 316., 10., 140., 290., 460.]);
    }

    #[test]
    fn pointwise_operations_work_channel_by_channel() {
        let x = [-2., -2., 3., 3.];
        assert_eq!(layer(Op::PRelu(vec![0.5, -1.0]), [2, 1, 2], &x), [-1., 2., 3., 3.]);
        assert_eq!(layer(Op::Relu, [2, 1, 2], &x), [0., 0., 3., 3.]);
        let affine = Op::Affine { scale: vec![2., 3.], shift: vec![1., 0.] };
        assert_eq!(layer(affine, [2, 1, 2], &x), [-3., -6., 7., 9.]);
        assert_eq!(layer(Op::Sigmoid, [1, 1, 2], &[0., 1e4]), [0.5, 1.]);
    }

    #[test]
    fn flatten_gives_channels_first() {
        // Pixels (c0, c1): (1, 10) (2, 20) / (3, 30) (4, 40) / (5, 50) (6, 60)
        let x = [1., 10., 2., 20., 3., 30., 4., 40., 5., 50., 6., 60.];
        let y = layer(Op::Flatten, [2, 3, 2], &x);
        assert_eq!(y, [1., 2., 3., 4., 5., 6., 10., 20., 30., 40., 50., 60.]);
    }

    #[test]
    fn linear_multiplies_rows_of_its_weight() {
        let op = Op::Linear { weight: vec![1., 2., 3., 4., 5., 6.], bias: vec![0.5, -0.5] };
        assert_eq!(layer(op, [3, 1, 1], &[1., 0., -1.]), [-1.5, -2.5]);
    }

    #[test]
    fn pools_keep_to_the_picture() {
        let x: Vec<f32> = (1..=9).map(|v| v as f32 - 10.0).collect();
        let max = |ceil| Op::MaxPool { kernel: 2, stride: 2, padding: 0, ceil };
        assert_eq!(layer(max(false), [1, 3, 3], &x), [-5.]);
        assert_eq!(layer(max(true), [1, 3, 3], &x), [-5., -4., -2., -1.]);
        let padded = Op::MaxPool { kernel: 3, stride: 2, padding: 1, ceil: false };
        assert_eq!(layer(padded, [1, 3, 3], &x), [-5., -4., -2., -1.]);
        let mean = Op::AveragePool { kernel: 2, stride: 2, padding: 0, ceil: true };
        assert_eq!(layer(mean, [1, 3, 3], &x), [-7., -5.5, -2.5, -1.]);
    }

    #[test]
    fn upsampling_repeats_and_concat_appends() {
        let mut network = Network::new("test", 1);
        let up = network.push("up", Op::Upsample(2), &[ValueId::INPUT]);
        let minus = network.push("minus", Op::Affine { scale: vec![-1.], shift: vec![0.] }, &[up]);
        let both = network.push("both", Op::Concat, &[up, minus]);
        let sum = network.push("sum", Op::Add, &[both, both]);
        network.output("sum", sum);
        let y = run(&network, [1, 1, 2], 1, &[1., 2.]);
        assert_eq!(y, [2., -2., 2., -2., 4., -4., 4., -4.].repeat(2));
    }

    #[test]
    fn moments_are_means_then_population_deviations() {
        let y = layer(Op::Moments, [2, 2, 2], &[1., 5., 3., 5., 5., 5., 7., 5.]);
        assert_eq!(y, [4., 5., 5f32.sqrt(), 0.]);
    }

    #[test]
    fn a_batch_equals_its_single_pictures() {
        let mut network = Network::new("test", 1);
        let y = network.push("relu", Op::Relu, &[ValueId::INPUT]);
        network.output("y", y);
        assert_eq!(
            run(&network, [1, 1, 2], 3, &[1., -1., 2., -2., -3., 3.]),
            [1., 0., 2., 0., 0., 3.]
        );
        let shape = Shape { channels: 1, height: 1, width: 2 };
        let short = Images { data: &[1.0; 3], count: 2, shape };
        let message = Reference::new(&network).run(short).unwrap_err().to_string();
        assert!(message.contains("expected 4 values"), "{message}");
    }
}
