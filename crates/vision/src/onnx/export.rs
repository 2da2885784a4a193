//! Writes a network as an ONNX model that other runtimes can run.

use facefold_engine::{Layer, Network, Op, Shape, ValueId};
use prost::Message;

use super::OnnxError;
use super::proto::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, ValueInfoProto, attribute_type, data_type,
};

/// The last operator set in which `ReduceMean` takes its axes as an attribute is 17; 13 is what
/// every runtime in use understands.
const OPERATOR_SET: i64 = 13;
const IR_VERSION: i64 = 7;
const INPUT: &str = "input";

/// Writes a network as an ONNX model for pictures of this height and width, in batches of any
/// size.
///
/// The input `input` is n x channels x height x width, as ONNX networks for pictures are. Outputs
/// have the network's names and the order of executors: maps n x height x width x channels, rows
/// n x channels. [`super::import`] reads all of it back but [`Op::Moments`].
///
/// # Errors
/// Layers that do not fit together, or a layer that needs a map and gets a row.
pub fn export(network: &Network, height: usize, width: usize) -> Result<Vec<u8>, OnnxError> {
    let shapes = network.shapes(height, width)?;
    let mut exporter = Exporter { network, is_row: vec![false], graph: GraphProto::default() };
    for layer in &network.layers {
        exporter.layer(layer)?;
    }
    exporter.outputs(&shapes);
    let input = [network.input_channels, height, width];
    exporter.graph.input.push(value_info(INPUT, &input));
    exporter.graph.name.clone_from(&network.name);
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "facefold".to_owned(),
        graph: Some(exporter.graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPERATOR_SET }],
    };
    Ok(model.encode_to_vec())
}

struct Exporter<'a> {
    network: &'a Network,
    /// Whether each value is n x channels rather than n x channels x height x width.
    is_row: Vec<bool>,
    graph: GraphProto,
}

impl Exporter<'_> {
    fn layer(&mut self, layer: &Layer) -> Result<(), OnnxError> {
        let row = layer.inputs.iter().all(|input| self.is_row[input.0]);
        let map = !layer.inputs.iter().any(|input| self.is_row[input.0]);
        let fits = match layer.op {
            Op::Linear { .. } => row,
            Op::PRelu(_) | Op::Affine { .. } | Op::Relu | Op::Sigmoid | Op::Add | Op::Concat => {
                row || map
            }
            _ => map,
        };
        if !fits {
            return Err(OnnxError::Node {
                node: layer.name.clone(),
                op: layer.op.name().to_owned(),
                problem: "some of its inputs are rows where it needs maps, or maps where it needs \
                          rows"
                    .to_owned(),
            });
        }
        self.is_row.push(row || matches!(layer.op, Op::Flatten | Op::Moments));
        let name = self.value_name(ValueId(self.is_row.len() - 1));
        let mut inputs: Vec<String> =
            layer.inputs.iter().map(|&input| self.value_name(input)).collect();
        let (op, attributes) = match &layer.op {
            Op::Convolution(c) => ("Conv", {
                let [down, right] = c.kernel.map(|side| side as i64);
                vec![
                    integers("dilations", &[1, 1]),
                    integer("group", c.groups),
                    integers("kernel_shape", &[down, right]),
                    integers("pads", &[c.padding as i64; 4]),
                    integers("strides", &[c.stride as i64; 2]),
                ]
            }),
            Op::PRelu(_) => ("PRelu", Vec::new()),
            Op::Relu => ("Relu", Vec::new()),
            Op::Sigmoid => ("Sigmoid", Vec::new()),
            Op::Add => ("Add", Vec::new()),
            // With mean 0, variance 1 and epsilon 0 nothing but scale and shift remains.
            Op::Affine { .. } => ("BatchNormalization", vec![float("epsilon", 0.0)]),
            Op::Upsample(_) => {
                let text = |name, value: &str| AttributeProto {
                    s: Some(value.as_bytes().to_vec()),
                    ..attribute(name, attribute_type::STRING)
                };
                let mode = text("coordinate_transformation_mode", "asymmetric");
                ("Resize", vec![mode, text("mode", "nearest"), text("nearest_mode", "floor")])
            }
            Op::Concat => ("Concat", vec![integer("axis", 1)]),
            Op::MaxPool { kernel, stride, padding, ceil } => {
                ("MaxPool", window(*kernel, *stride, *padding, *ceil))
            }
            Op::AveragePool { kernel, stride, padding, ceil } => {
                let mut attributes = window(*kernel, *stride, *padding, *ceil);
                attributes.push(integer("count_include_pad", 0));
                ("AveragePool", attributes)
            }
            Op::Flatten => ("Flatten", vec![integer("axis", 1)]),
            Op::Linear { .. } => ("Gemm", vec![integer("transB", 1)]),
            Op::Moments => {
                self.moments(&inputs[0], &name);
                return Ok(());
            }
        };
        inputs.extend(self.weights(layer, &name, row));
        self.node(op, &inputs, &name, attributes);
        Ok(())
    }

    /// Stores the layer's tensors and gives their names in the order of the operator's inputs.
    fn weights(&mut self, layer: &Layer, name: &str, row: bool) -> Vec<String> {
        let mut names = Vec::new();
        for (tensor, mut shape, values) in layer.op.tensors() {
            if tensor == "slope" && !row {
                shape.extend([1, 1]);
            }
            names.push(self.store(&format!("{name}.{tensor}"), &shape, values));
        }
        match &layer.op {
            Op::Affine { scale, .. } => {
                let (zeros, ones) = (vec![0.0; scale.len()], vec![1.0; scale.len()]);
                names.push(self.store(&format!("{name}.mean"), &[scale.len()], &zeros));
                names.push(self.store(&format!("{name}.variance"), &[scale.len()], &ones));
            }
            Op::Upsample(factor) => {
                let scales = [1.0, 1.0, *factor as f32, *factor as f32];
                // The region of interest, which only cropping resizes read.
                names.push(String::new());
                names.push(self.store(&format!("{name}.scales"), &[4], &scales));
            }
            _ => {}
        }
        names
    }

    fn store(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        self.graph.initializer.push(TensorProto {
            dims: shape.iter().map(|&side| side as i64).collect(),
            data_type: data_type::FLOAT,
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        name.to_owned()
    }

    /// Mean over space beside the root of the mean squared distance from it.
    fn moments(&mut self, x: &str, name: &str) {
        let part = |part: &str| format!("{name}.{part}");
        let over_space = |keep: usize| vec![integers("axes", &[2, 3]), integer("keepdims", keep)];
        let centre = part("centre");
        self.node("ReduceMean", &[x.to_owned()], &centre, over_space(1));
        self.node("ReduceMean", &[x.to_owned()], &part("mean"), over_space(0));
        self.node("Sub", &[x.to_owned(), centre], &part("distance"), Vec::new());
        self.node("Mul", &[part("distance"), part("distance")], &part("square"), Vec::new());
        self.node("ReduceMean", &[part("square")], &part("variance"), over_space(0));
        self.node("Sqrt", &[part("variance")], &part("deviation"), Vec::new());
        self.node("Concat", &[part("mean"), part("deviation")], name, vec![integer("axis", 1)]);
    }

    fn outputs(&mut self, shapes: &[Shape]) {
        for output in &self.network.outputs {
            let value = self.value_name(output.value);
            let Shape { channels, height, width } = shapes[output.value.0];
            if self.is_row[output.value.0] {
                self.node("Identity", &[value], &output.name, Vec::new());
                self.graph.output.push(value_info(&output.name, &[channels]));
            } else {
                let last = vec![integers("perm", &[0, 2, 3, 1])];
                self.node("Transpose", &[value], &output.name, last);
                self.graph.output.push(value_info(&output.name, &[height, width, channels]));
            }
        }
    }

    fn node(&mut self, op: &str, inputs: &[String], output: &str, attribute: Vec<AttributeProto>) {
        self.graph.node.push(NodeProto {
            input: inputs.to_vec(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op.to_owned(),
            attribute,
        });
    }

    /// The layer's name, unless the input or an output has it.
    fn value_name(&self, value: ValueId) -> String {
        let Some(layer) = value.0.checked_sub(1) else { return INPUT.to_owned() };
        let name = &self.network.layers[layer].name;
        let taken = name == INPUT || self.network.outputs.iter().any(|output| output.name == *name);
        if taken { format!("{name}.value") } else { name.clone() }
    }
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind, ..AttributeProto::default() }
}

fn integer(name: &str, value: usize) -> AttributeProto {
    AttributeProto { i: Some(value as i64), ..attribute(name, attribute_type::INT) }
}

fn integers(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, attribute_type::INTS) }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, attribute_type::FLOAT) }
}

fn window(kernel: usize, stride: usize, padding: usize, ceil: bool) -> Vec<AttributeProto> {
    vec![
        integer("ceil_mode", usize::from(ceil)),
        integers("kernel_shape", &[kernel as i64; 2]),
        integers("pads", &[padding as i64; 4]),
        integers("strides", &[stride as i64; 2]),
    ]
}

/// A batch of any size of f32 tensors of this shape.
fn value_info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let batch = Dimension { dim_param: Some("batch".to_owned()), ..Dimension::default() };
    let sides = shape
        .iter()
        .map(|&side| Dimension { dim_value: Some(side as i64), ..Dimension::default() });
    let shape = TensorShapeProto { dim: std::iter::once(batch).chain(sides).collect() };
    let tensor_type = TensorType { elem_type: data_type::FLOAT, shape: Some(shape) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { tensor_type: Some(tensor_type) }),
    }
}
