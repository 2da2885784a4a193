//! Writes a network as an ONNX model that other runtimes can run.

use facefold_engine::{Layer, Network, Op, Shape, ValueId};

use crate::OnnxError;
use crate::graph::{Attribute, Graph, WeightStorage};

const INPUT: &str = "input";

/// Writes a network as an ONNX model for pictures of this height and width, in batches of any
/// size.
///
/// The input `input` is n x channels x height x width, as ONNX networks for pictures are. Outputs
/// have the network's names and the order of executors: maps n x height x width x channels, rows
/// n x channels. [`crate::import`] reads all of it back but [`Op::Moments`].
///
/// # Errors
/// Layers of mismatched shapes, or a layer that needs a map and gets a row.
pub fn export(network: &Network, height: usize, width: usize) -> Result<Vec<u8>, OnnxError> {
    let shapes = network.shapes(height, width)?;
    let mut graph = Graph::new(&network.name, WeightStorage::F32);
    graph.input(INPUT, &[network.input_channels, height, width]);
    let exporter = Exporter::run(&mut graph, network, INPUT)?;
    let values: Vec<String> = exporter.outputs().collect();
    let is_row = exporter.is_row;
    for (output, value) in network.outputs.iter().zip(values) {
        let Shape { channels, height, width } = shapes[output.value.0];
        if is_row[output.value.0] {
            graph.node("Identity", &[&value], &output.name, &[]);
            graph.output(&output.name, &[channels]);
        } else {
            let last = [("perm", Attribute::Integers(&[0, 2, 3, 1]))];
            graph.node("Transpose", &[&value], &output.name, &last);
            graph.output(&output.name, &[height, width, channels]);
        }
    }
    Ok(graph.to_bytes())
}

impl Graph {
    /// Appends a network's layers, which take the value `input`, n x channels x height x width;
    /// gives the names of the values that are its outputs: rows n x channels, maps
    /// n x channels x height x width.
    ///
    /// # Errors
    /// Layers of mismatched shapes, or a layer that needs a map and gets a row.
    pub fn network(&mut self, network: &Network, input: &str) -> Result<Vec<String>, OnnxError> {
        network.validate()?;
        Ok(Exporter::run(self, network, input)?.outputs().collect())
    }
}

struct Exporter<'a> {
    network: &'a Network,
    graph: &'a mut Graph,
    input: &'a str,
    /// Whether each value is n x channels rather than n x channels x height x width.
    is_row: Vec<bool>,
}

impl<'a> Exporter<'a> {
    fn run(graph: &'a mut Graph, network: &'a Network, input: &'a str) -> Result<Self, OnnxError> {
        let mut exporter = Self { network, graph, input, is_row: vec![false] };
        for layer in &network.layers {
            exporter.layer(layer)?;
        }
        Ok(exporter)
    }

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
        let pools = matches!(layer.op, Op::Flatten | Op::Moments);
        self.is_row.push(row || pools);
        let name = self.value_name(ValueId(self.is_row.len() - 1));
        let mut inputs: Vec<String> =
            layer.inputs.iter().map(|&input| self.value_name(input)).collect();
        inputs.extend(self.weights(layer, &name, row));
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let mut node = |op: &str, attributes: &[(&str, Attribute<'_>)]| {
            self.graph.node(op, &inputs, &name, attributes);
        };
        let integer = |value: usize| Attribute::Integer(value as i64);
        match &layer.op {
            Op::Convolution(c) => node(
                "Conv",
                &[
                    ("dilations", Attribute::Integers(&[1, 1])),
                    ("group", integer(c.groups)),
                    ("kernel_shape", Attribute::Integers(&c.kernel.map(|side| side as i64))),
                    ("pads", Attribute::Integers(&[c.padding as i64; 4])),
                    ("strides", Attribute::Integers(&[c.stride as i64; 2])),
                ],
            ),
            Op::PRelu(_) => node("PRelu", &[]),
            Op::Relu => node("Relu", &[]),
            Op::Sigmoid => node("Sigmoid", &[]),
            Op::Add => node("Add", &[]),
            // With mean 0, variance 1 and epsilon 0 nothing but scale and shift remains.
            Op::Affine { .. } => node("BatchNormalization", &[("epsilon", Attribute::Float(0.0))]),
            Op::Upsample(_) => node(
                "Resize",
                &[
                    ("coordinate_transformation_mode", Attribute::Text("asymmetric")),
                    ("mode", Attribute::Text("nearest")),
                    ("nearest_mode", Attribute::Text("floor")),
                ],
            ),
            Op::Concat => node("Concat", &[("axis", Attribute::Integer(1))]),
            Op::MaxPool { kernel, stride, padding, ceil }
            | Op::AveragePool { kernel, stride, padding, ceil } => {
                let (sides, pads, steps) =
                    ([*kernel as i64; 2], [*padding as i64; 4], [*stride as i64; 2]);
                let mut window = vec![
                    ("ceil_mode", integer(usize::from(*ceil))),
                    ("kernel_shape", Attribute::Integers(&sides)),
                    ("pads", Attribute::Integers(&pads)),
                    ("strides", Attribute::Integers(&steps)),
                ];
                if matches!(layer.op, Op::MaxPool { .. }) {
                    node("MaxPool", &window);
                } else {
                    window.push(("count_include_pad", Attribute::Integer(0)));
                    node("AveragePool", &window);
                }
            }
            Op::Flatten => node("Flatten", &[("axis", Attribute::Integer(1))]),
            Op::Linear { .. } => node("Gemm", &[("transB", Attribute::Integer(1))]),
            Op::Moments => self.moments(inputs[0], &name),
        }
        Ok(())
    }

    /// Stores the layer's tensors and gives their names in the order of the operator's inputs.
    fn weights(&mut self, layer: &Layer, name: &str, row: bool) -> Vec<String> {
        let mut names = Vec::new();
        for (tensor, mut shape, values) in layer.op.tensors() {
            let name = format!("{name}.{tensor}");
            if tensor == "slope" && !row {
                shape.extend([1, 1]);
            }
            names.push(if tensor == "weight" {
                self.graph.weights(&name, &shape, values, 0)
            } else {
                self.graph.floats(&name, &shape, values)
            });
        }
        match &layer.op {
            Op::Affine { scale, .. } => {
                let (zeros, ones) = (vec![0.0; scale.len()], vec![1.0; scale.len()]);
                names.push(self.graph.floats(&format!("{name}.mean"), &[scale.len()], &zeros));
                names.push(self.graph.floats(&format!("{name}.variance"), &[scale.len()], &ones));
            }
            Op::Upsample(factor) => {
                let scales = [1.0, 1.0, *factor as f32, *factor as f32];
                // The region of interest, which only cropping resizes read.
                names.push(String::new());
                names.push(self.graph.floats(&format!("{name}.scales"), &[4], &scales));
            }
            _ => {}
        }
        names
    }

    /// Mean over space, and the standard deviation.
    fn moments(&mut self, x: &str, name: &str) {
        let part = |part: &str| format!("{name}.{part}");
        let over_space = |keep: i64| {
            [("axes", Attribute::Integers(&[2, 3])), ("keepdims", Attribute::Integer(keep))]
        };
        let graph = &mut *self.graph;
        let centre = graph.node("ReduceMean", &[x], &part("centre"), &over_space(1));
        let mean = graph.node("ReduceMean", &[x], &part("mean"), &over_space(0));
        let distance = graph.node("Sub", &[x, &centre], &part("distance"), &[]);
        let square = graph.node("Mul", &[&distance, &distance], &part("square"), &[]);
        let variance = graph.node("ReduceMean", &[&square], &part("variance"), &over_space(0));
        let deviation = graph.node("Sqrt", &[&variance], &part("deviation"), &[]);
        graph.node("Concat", &[&mean, &deviation], name, &[("axis", Attribute::Integer(1))]);
    }

    /// The values that are the network's outputs.
    fn outputs(&self) -> impl Iterator<Item = String> {
        self.network.outputs.iter().map(|output| self.value_name(output.value))
    }

    /// The layer's name, unless the input or an output has it.
    fn value_name(&self, value: ValueId) -> String {
        let Some(layer) = value.0.checked_sub(1) else { return self.input.to_owned() };
        let name = &self.network.layers[layer].name;
        let taken =
            name == self.input || self.network.outputs.iter().any(|output| output.name == *name);
        if taken { format!("{name}.value") } else { name.clone() }
    }
}
