//! Reads a network out of an ONNX file: batch normalisations folded, shape arithmetic skipped.

use std::collections::HashMap;

use facefold_engine::{Network, Op, ValueId};
use prost::Message;

use crate::OnnxError;
use crate::node::Node;
use crate::proto::{GraphProto, ModelProto, TensorProto, ValueInfoProto};
use crate::tensor::{self, LARGEST_SIDE};

/// Height and width at which a network of open input size is checked: SCRFD's maps fit together
/// for multiples of 32.
const CHECKED_SIDE: usize = 64;
/// Longer than the side of any picture that these networks take.
const LONGEST_INPUT: usize = 2048;

/// SCRFD's outputs in the order in which every published file lists them.
const DETECTOR_OUTPUTS: [&str; 9] = [
    "score_8", "score_16", "score_32", "bbox_8", "bbox_16", "bbox_32", "kps_8", "kps_16", "kps_32",
];

/// Reads a network from the bytes of an ONNX file.
///
/// Understands what the ArcFace and SCRFD files use: Conv, `PRelu`, Relu, Sigmoid, Add,
/// `BatchNormalization`, Gemm, Flatten, Reshape to rows, Resize and Upsample (nearest), Concat of
/// channels, `MaxPool`, `AveragePool`, Mul, Add and Sub by a constant, Identity, Dropout and
/// Constant. A resize whose target size is computed from other maps' shapes is by two, as in
/// every feature pyramid. The final rearrangement of SCRFD's maps to rows of anchors is dropped:
/// an executor gives height x width x (anchors x values), the same values in the same order.
///
/// Layers are named after the ONNX values they make. A single output is called `embedding`; nine
/// outputs that have only numbers for names are a detector's and are called `score_8`,
/// `score_16`, … `kps_32`. The network takes the graph's name; callers that know better set
/// [`Network::name`].
///
/// # Errors
/// Bytes that are no ONNX model, a node or tensor that a [`Network`] cannot represent (named),
/// layers of mismatched shapes.
pub fn import(bytes: &[u8]) -> Result<Network, OnnxError> {
    let model = ModelProto::decode(bytes)?;
    let graph = model.graph.ok_or_else(|| OnnxError::Graph("the model holds none".to_owned()))?;
    let mut importer = Importer {
        network: Network::new(graph.name.clone(), 0),
        values: HashMap::new(),
        channels: Vec::new(),
        upsamplings: 0,
    };
    let [height, width] = importer.start(&graph)?;
    for node in &graph.node {
        importer.translate(Node(node))?;
    }
    importer.name_outputs(&graph)?;
    importer.network.shapes(height, width)?;
    Ok(importer.network)
}

/// What an ONNX value is to a network.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// Activations: a map in NCHW order, or a row.
    Map(ValueId),
    /// Activations that the file has moved to NHWC order, in which executors give them anyway.
    Moved(ValueId),
    /// A stored tensor.
    Stored(&'a TensorProto),
    /// A shape computed at run time, which a network does not need.
    Computed,
}

/// A network under construction, and what the file's values are to it.
pub struct Importer<'a> {
    network: Network,
    values: HashMap<&'a str, Value<'a>>,
    /// Channels of each value of the network where they are known; the width of a flattened map
    /// depends on the picture's size.
    channels: Vec<Option<usize>>,
    pub upsamplings: usize,
}

impl<'a> Importer<'a> {
    /// Takes in the stored tensors and the input; gives the height and width to check with.
    fn start(&mut self, graph: &'a GraphProto) -> Result<[usize; 2], OnnxError> {
        for tensor in &graph.initializer {
            self.values.insert(&tensor.name, Value::Stored(tensor));
        }
        let inputs: Vec<&ValueInfoProto> = graph
            .input
            .iter()
            .filter(|input| !self.values.contains_key(input.name.as_str()))
            .collect();
        let &[input] = inputs.as_slice() else {
            let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(OnnxError::Graph(format!("expected one input, found {names:?}")));
        };
        let sides = input_sides(input);
        let &[_, Some(channels @ 1..=LARGEST_SIDE), height, width] = sides.as_slice() else {
            return Err(OnnxError::Graph(format!(
                "expected input `{}` of n x channels x height x width, found {sides:?}",
                input.name
            )));
        };
        let sides = [height, width].map(|side| side.unwrap_or(CHECKED_SIDE));
        if sides.iter().any(|&side| side > LONGEST_INPUT) {
            return Err(OnnxError::Graph(format!(
                "expected pictures of at most {LONGEST_INPUT} pixels a side, found {sides:?}"
            )));
        }
        self.network.input_channels = channels;
        self.channels.push(Some(channels));
        self.values.insert(&input.name, Value::Map(ValueId::INPUT));
        Ok(sides)
    }

    fn translate(&mut self, node: Node<'a>) -> Result<(), OnnxError> {
        let value = match (node.op(), self.activations(node)?) {
            ("Constant", _) => {
                let tensor = node.attribute("value").and_then(|attribute| attribute.t.as_ref());
                tensor.map_or(Value::Computed, Value::Stored)
            }
            ("Identity" | "Dropout", _) => self.input(node, 0)?,
            ("Shape", _) | (_, 0) => Value::Computed,
            _ => self.layer(node)?,
        };
        match self.values.insert(node.name(), value) {
            None => Ok(()),
            Some(_) => Err(node.fail("a value of this name exists already")),
        }
    }

    /// The number of inputs that hold activations.
    pub fn activations(&self, node: Node<'_>) -> Result<usize, OnnxError> {
        let mut count = 0;
        for name in node.0.input.iter().filter(|name| !name.is_empty()) {
            match self.values.get(name.as_str()) {
                Some(Value::Map(_) | Value::Moved(_)) => count += 1,
                Some(Value::Stored(_) | Value::Computed) => {}
                None => return Err(node.fail(format!("its input `{name}` is not computed yet"))),
            }
        }
        Ok(count)
    }

    fn layer(&mut self, node: Node<'a>) -> Result<Value<'a>, OnnxError> {
        let op = match node.op() {
            "Conv" => self.convolution(node)?,
            "PRelu" => Op::PRelu(self.per_channel(node, 1)?),
            "Relu" => Op::Relu,
            "Sigmoid" => Op::Sigmoid,
            "Add" | "Mul" | "Sub" => return self.arithmetic(node),
            "BatchNormalization" => self.batch_normalization(node)?,
            "Gemm" => self.linear(node)?,
            "Flatten" => {
                node.expect_integer("axis", 1)?;
                Op::Flatten
            }
            "Transpose" => return self.transpose(node),
            "Reshape" => match self.input(node, 0)? {
                moved @ Value::Moved(_) => return Ok(moved),
                _ => self.rows(node)?,
            },
            "Resize" | "Upsample" => self.upsample(node)?,
            "Concat" => {
                node.expect_integer("axis", 1)?;
                let all = (0..node.0.input.len()).map(|i| self.map(node, i));
                let all = all.collect::<Result<Vec<_>, _>>()?;
                return Ok(Value::Map(self.push(node, Op::Concat, &all)?));
            }
            "MaxPool" => {
                let (kernel, stride, padding) = node.square_window()?;
                let ceil = node.integer("ceil_mode", 0) != 0;
                Op::MaxPool { kernel, stride, padding, ceil }
            }
            "AveragePool" => {
                let (kernel, stride, padding) = node.square_window()?;
                if padding > 0 {
                    node.expect_integer("count_include_pad", 0)?;
                }
                let ceil = node.integer("ceil_mode", 0) != 0;
                Op::AveragePool { kernel, stride, padding, ceil }
            }
            _ => return Err(node.fail("this operator is not supported")),
        };
        if let (Value::Moved(input), Op::Relu | Op::Sigmoid) = (self.input(node, 0)?, &op) {
            return Ok(Value::Moved(self.push(node, op, &[input])?));
        }
        let input = self.map(node, 0)?;
        Ok(Value::Map(self.push(node, op, &[input])?))
    }

    pub fn push(
        &mut self,
        node: Node<'_>,
        op: Op,
        inputs: &[ValueId],
    ) -> Result<ValueId, OnnxError> {
        let first = inputs.first().and_then(|input| self.channels[input.0]);
        let channels = match &op {
            Op::Convolution(c) => Some(c.output_channels),
            Op::Linear { bias, .. } => Some(bias.len()),
            Op::Affine { scale, .. } => Some(scale.len()),
            Op::Concat => inputs.iter().map(|input| self.channels[input.0]).sum(),
            Op::Flatten => None,
            _ => first,
        };
        if channels.is_some_and(|channels| channels > LARGEST_SIDE) {
            return Err(node.fail(format!("more than {LARGEST_SIDE} channels")));
        }
        self.channels.push(channels);
        Ok(self.network.push(node.name(), op, inputs))
    }

    pub fn input(&self, node: Node<'_>, index: usize) -> Result<Value<'a>, OnnxError> {
        self.optional_input(node, index)
            .ok_or_else(|| node.fail(format!("its input {index} is missing")))
    }

    pub fn optional_input(&self, node: Node<'_>, index: usize) -> Option<Value<'a>> {
        let name = node.0.input.get(index).filter(|name| !name.is_empty())?;
        self.values.get(name.as_str()).copied()
    }

    pub fn map(&self, node: Node<'_>, index: usize) -> Result<ValueId, OnnxError> {
        match self.input(node, index)? {
            Value::Map(value) => Ok(value),
            Value::Moved(_) => Err(node.fail(format!("its input {index} is no longer NCHW"))),
            Value::Stored(_) | Value::Computed => {
                Err(node.fail(format!("its input {index} is not computed from the picture")))
            }
        }
    }

    pub fn stored(&self, node: Node<'_>, index: usize) -> Result<&'a TensorProto, OnnxError> {
        match self.input(node, index)? {
            Value::Stored(tensor) => Ok(tensor),
            _ => Err(node.fail(format!("its input {index} is not stored in the file"))),
        }
    }

    pub fn floats(&self, node: Node<'_>, index: usize) -> Result<Vec<f32>, OnnxError> {
        tensor::floats(self.stored(node, index)?)
    }

    /// One weight a channel, stored as C, C x 1 x 1, 1 x C x 1 x 1 or as one for all.
    pub fn per_channel(&self, node: Node<'_>, index: usize) -> Result<Vec<f32>, OnnxError> {
        let other = self.map(node, 1 - index)?;
        let values = self.floats(node, index)?;
        let shape = tensor::shape(self.stored(node, index)?)?;
        match (values.as_slice(), self.channels[other.0]) {
            (&[value], Some(channels)) => Ok(vec![value; channels]),
            (_, Some(channels)) if values.len() == channels && shape.contains(&channels) => {
                Ok(values)
            }
            (_, channels) => {
                let channels = channels.map_or("unknown".to_owned(), |count| count.to_string());
                Err(node.fail(format!("expected weights for {channels} channels, found {shape:?}")))
            }
        }
    }

    fn name_outputs(&mut self, graph: &GraphProto) -> Result<(), OnnxError> {
        let names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
        let numbered = |name: &&str| name.bytes().all(|byte| byte.is_ascii_digit());
        let called: &[&str] = match names.len() {
            0 => return Err(OnnxError::Graph("it has no outputs".to_owned())),
            1 => &["embedding"],
            9 if names.iter().all(numbered) => &DETECTOR_OUTPUTS,
            _ => &names,
        };
        for (name, called) in names.iter().zip(called) {
            match self.values.get(name) {
                Some(&Value::Map(value) | &Value::Moved(value)) => {
                    self.network.output(*called, value);
                }
                _ => {
                    return Err(OnnxError::Graph(format!(
                        "its output `{name}` is not computed from the picture"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// The input's sides; none where the file leaves them open.
fn input_sides(input: &ValueInfoProto) -> Vec<Option<usize>> {
    let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let dims = shape.map_or(&[][..], |shape| &shape.dim);
    dims.iter().map(|dim| usize::try_from(dim.dim_value?).ok().filter(|&side| side > 0)).collect()
}
