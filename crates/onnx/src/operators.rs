//! What each ONNX operator with weights or a geometry is in a network.

use facefold_engine::{Convolution, Op};

use crate::OnnxError;
use crate::import::{Importer, Value};
use crate::node::{Node, Window};
use crate::tensor::{self, LARGEST_SIDE};

/// With [`LARGEST_FACTOR`], bounds the growth of maps; SCRFD upsamples twice, by two.
const MOST_UPSAMPLINGS: usize = 4;
const LARGEST_FACTOR: usize = 4;

impl<'a> Importer<'a> {
    pub fn convolution(&self, node: Node<'_>) -> Result<Op, OnnxError> {
        let weight = self.stored(node, 1)?;
        let shape = tensor::shape(weight)?;
        let &[output_channels, depth, height, width] = shape.as_slice() else {
            return Err(node.fail(format!("expected weights of four sides, found {shape:?}")));
        };
        let groups = usize::try_from(node.integer("group", 1))
            .ok()
            .filter(|groups| (1..=LARGEST_SIDE).contains(groups) && depth > 0)
            .ok_or_else(|| node.fail("expected at least one group of channels"))?;
        let Window { kernel, stride, padding } = node.window(Some([height, width]))?;
        let bias = match self.optional_input(node, 2) {
            Some(_) => self.floats(node, 2)?,
            None => vec![0.0; output_channels],
        };
        Ok(Op::Convolution(Convolution {
            weight: tensor::floats(weight)?,
            bias,
            input_channels: depth * groups,
            output_channels,
            kernel,
            stride,
            padding,
            groups,
        }))
    }

    /// gamma (x - mean) / sqrt(variance + epsilon) + beta, as scale x + shift.
    pub fn batch_normalization(&self, node: Node<'_>) -> Result<Op, OnnxError> {
        node.expect_integer("training_mode", 0)?;
        let gamma = self.floats(node, 1)?;
        let [beta, mean, variance] =
            [self.floats(node, 2)?, self.floats(node, 3)?, self.floats(node, 4)?];
        if [&beta, &mean, &variance].iter().any(|other| other.len() != gamma.len()) {
            return Err(node.fail("its scale, shift, mean and variance differ in length"));
        }
        let epsilon = f64::from(node.float("epsilon", 1e-5));
        let scale: Vec<f64> = (gamma.iter().zip(&variance))
            .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + epsilon).sqrt())
            .collect();
        if !scale.iter().all(|scale| scale.is_finite()) {
            return Err(node.fail("expected variances above zero"));
        }
        let shift = (beta.iter().zip(&mean).zip(&scale))
            .map(|((&beta, &mean), scale)| (f64::from(beta) - f64::from(mean) * scale) as f32);
        Ok(Op::Affine {
            shift: shift.collect(),
            scale: scale.iter().map(|&scale| scale as f32).collect(),
        })
    }

    /// A sum of two maps, or a map scaled or shifted by stored values.
    pub fn arithmetic(&mut self, node: Node<'a>) -> Result<Value<'a>, OnnxError> {
        let maps = self.activations(node)?;
        if node.0.input.len() != 2 || (maps == 2 && node.op() != "Add") {
            return Err(node.fail("expected a map and a stored value, or a sum of two maps"));
        }
        if maps == 2 {
            let inputs = [self.map(node, 0)?, self.map(node, 1)?];
            return Ok(Value::Map(self.push(node, Op::Add, &inputs)?));
        }
        let second = matches!(self.input(node, 1)?, Value::Stored(_));
        if node.op() == "Sub" && !second {
            return Err(node.fail("expected the map before the stored value"));
        }
        let values = self.per_channel(node, usize::from(second))?;
        let input = self.map(node, usize::from(!second))?;
        let (zeros, ones) = (vec![0.0; values.len()], vec![1.0; values.len()]);
        let op = match node.op() {
            "Mul" => Op::Affine { scale: values, shift: zeros },
            "Sub" => {
                Op::Affine { scale: ones, shift: values.into_iter().map(|value| -value).collect() }
            }
            _ => Op::Affine { scale: ones, shift: values },
        };
        Ok(Value::Map(self.push(node, op, &[input])?))
    }

    pub fn linear(&self, node: Node<'_>) -> Result<Op, OnnxError> {
        if node.float("alpha", 1.0) != 1.0 || node.float("beta", 1.0) != 1.0 {
            return Err(node.fail("expected alpha 1 and beta 1"));
        }
        node.expect_integer("transA", 0)?;
        let stored = self.stored(node, 1)?;
        let shape = tensor::shape(stored)?;
        let values = tensor::floats(stored)?;
        let &[rows, columns] = shape.as_slice() else {
            return Err(node.fail(format!("expected weights of two sides, found {shape:?}")));
        };
        let (outputs, weight) = if node.integer("transB", 0) == 0 {
            let column = |j: usize| values.iter().skip(j).step_by(columns.max(1)).copied();
            (columns, (0..columns).flat_map(column).collect())
        } else {
            (rows, values)
        };
        let bias = match self.optional_input(node, 2) {
            Some(_) => self.floats(node, 2)?,
            None => vec![0.0; outputs],
        };
        if bias.len() == outputs && outputs > 0 {
            Ok(Op::Linear { weight, bias })
        } else {
            Err(node.fail(format!("expected {outputs} biases, found {}", bias.len())))
        }
    }

    /// A reshape of a map to one row a picture.
    pub fn rows(&self, node: Node<'_>) -> Result<Op, OnnxError> {
        match self.input(node, 1)? {
            Value::Stored(shape) => match tensor::integers(shape)?.as_slice() {
                [_, _] => Ok(Op::Flatten),
                found => Err(node.fail(format!("expected a shape of n x values, found {found:?}"))),
            },
            _ => Ok(Op::Flatten),
        }
    }

    /// The two orders that put channels last for one picture are NHWC and HWNC.
    pub fn transpose(&self, node: Node<'_>) -> Result<Value<'a>, OnnxError> {
        match node.integers("perm") {
            [0, 2, 3, 1] | [2, 3, 0, 1] => Ok(Value::Moved(self.map(node, 0)?)),
            found => Err(node.fail(format!("expected perm [0, 2, 3, 1], found {found:?}"))),
        }
    }

    pub fn upsample(&mut self, node: Node<'_>) -> Result<Op, OnnxError> {
        let mode = node.text("mode", "nearest");
        // These pairs repeat each pixel when the factor is whole.
        let rule = (
            node.text("coordinate_transformation_mode", "half_pixel"),
            node.text("nearest_mode", "round_prefer_floor"),
        );
        let repeats = node.op() == "Upsample"
            || matches!(rule, ("asymmetric", "floor"))
            || matches!(rule, ("half_pixel", "round_prefer_floor" | "round_prefer_ceil"));
        if mode != "nearest" || !repeats {
            return Err(node.fail(format!("expected nearest neighbours, found {mode} {rule:?}")));
        }
        self.upsamplings += 1;
        if self.upsamplings > MOST_UPSAMPLINGS {
            return Err(node.fail(format!("more than {MOST_UPSAMPLINGS} of them")));
        }
        let scales = match node.op() {
            "Upsample" => self.optional_input(node, 1),
            _ => self.optional_input(node, 2),
        };
        let attribute = node.attribute("scales").map_or(&[][..], |scales| &scales.floats);
        let stored = match scales {
            Some(Value::Stored(scales)) => tensor::floats(scales)?,
            _ => attribute.to_vec(),
        };
        match stored.as_slice() {
            [] => Ok(Op::Upsample(2)),
            &[1.0, 1.0, down, right]
                if down == right
                    && down.fract() == 0.0
                    && (1.0..=LARGEST_FACTOR as f32).contains(&down) =>
            {
                Ok(Op::Upsample(down as usize))
            }
            found => Err(node.fail(format!(
                "expected scales 1, 1 and twice a whole number up to {LARGEST_FACTOR}, found \
                 {found:?}"
            ))),
        }
    }
}
