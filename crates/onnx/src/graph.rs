//! An ONNX graph under construction: nodes, stored tensors, inputs, outputs, notes for the reader.

use std::str::FromStr;

use prost::Message;

use crate::proto::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorType, TypeProto, ValueInfoProto,
    attribute_type, data_type,
};
use crate::quantise::{Int8, f16_bytes, int8};

/// The last operator set in which `ReduceMean` takes its axes as an attribute is 17; 13 is what
/// every runtime in use understands, and the first in which `DequantizeLinear` has an axis.
const OPERATOR_SET: i64 = 13;
const IR_VERSION: i64 = 8;

/// How the weights of convolutions and fully connected layers are stored. Everything is computed
/// in f32, whatever they are stored as, and all other tensors are stored as f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightStorage {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats; a tensor with values too large for them stays in f32.
    F16,
    /// 8-bit integers and a scale for each output channel.
    Int8,
}

/// A text that names no storage of weights.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected weights as `f32`, `f16` or `int8`, found `{0}`")]
pub struct InvalidWeightStorage(String);

impl FromStr for WeightStorage {
    type Err = InvalidWeightStorage;

    fn from_str(text: &str) -> Result<Self, InvalidWeightStorage> {
        match text {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "int8" => Ok(Self::Int8),
            _ => Err(InvalidWeightStorage(text.to_owned())),
        }
    }
}

/// A setting of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute<'a> {
    /// A whole number.
    Integer(i64),
    /// Whole numbers.
    Integers(&'a [i64]),
    /// A 32-bit float.
    Float(f32),
    /// A word.
    Text(&'a str),
}

/// An ONNX graph under construction. Values are called by their names, which the caller keeps
/// unique.
#[derive(Debug)]
pub struct Graph {
    proto: GraphProto,
    weights: WeightStorage,
    notes: Vec<StringStringEntryProto>,
}

impl Graph {
    /// An empty graph that stores its weights so.
    #[must_use]
    pub fn new(name: &str, weights: WeightStorage) -> Self {
        let proto = GraphProto { name: name.to_owned(), ..GraphProto::default() };
        Self { proto, weights, notes: Vec::new() }
    }

    /// An input: a batch of any size of f32 tensors of this shape.
    pub fn input(&mut self, name: &str, shape: &[usize]) {
        self.proto.input.push(value_info(name, shape));
    }

    /// An output: the value of this name, a batch of f32 tensors of this shape.
    pub fn output(&mut self, name: &str, shape: &[usize]) {
        self.proto.output.push(value_info(name, shape));
    }

    /// A text that readers of the file find under this key in its metadata.
    pub fn note(&mut self, key: &str, value: impl Into<String>) {
        self.notes.push(StringStringEntryProto { key: key.to_owned(), value: value.into() });
    }

    /// Appends a node with one output; gives the output's name, which is the node's.
    pub fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        name: &str,
        attributes: &[(&str, Attribute<'_>)],
    ) -> String {
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: op.to_owned(),
            attribute: attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        });
        name.to_owned()
    }

    /// Stores 32-bit floats, row by row; gives their name.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.store(name, shape, data_type::FLOAT, bytes)
    }

    /// Stores a list of 64-bit integers; gives its name.
    pub fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.store(name, &[values.len()], data_type::INT64, bytes)
    }

    /// Stores one 64-bit integer, without a side; gives its name.
    pub fn integer(&mut self, name: &str, value: i64) -> String {
        self.store(name, &[], data_type::INT64, value.to_le_bytes().to_vec())
    }

    /// Stores the weights of a layer as the graph stores weights, row by row; `axis` is that of
    /// the layer's outputs. Gives the name of the value that is computed with.
    pub fn weights(&mut self, name: &str, shape: &[usize], values: &[f32], axis: usize) -> String {
        let stored = format!("{name}.stored");
        match self.weights {
            WeightStorage::F32 => self.floats(name, shape, values),
            WeightStorage::F16 => match f16_bytes(values) {
                None => self.floats(name, shape, values),
                Some(bytes) => {
                    self.store(&stored, shape, data_type::FLOAT16, bytes);
                    let to = Attribute::Integer(i64::from(data_type::FLOAT));
                    self.node("Cast", &[&stored], name, &[("to", to)])
                }
            },
            WeightStorage::Int8 => {
                let Int8 { bytes, scales } = int8(values, shape, axis);
                self.store(&stored, shape, data_type::INT8, bytes);
                let scales = self.floats(&format!("{name}.scale"), &[scales.len()], &scales);
                let axis = Attribute::Integer(axis as i64);
                self.node("DequantizeLinear", &[&stored, &scales], name, &[("axis", axis)])
            }
        }
    }

    fn store(&mut self, name: &str, shape: &[usize], data_type: i32, bytes: Vec<u8>) -> String {
        self.proto.initializer.push(TensorProto {
            dims: shape.iter().map(|&side| side as i64).collect(),
            data_type,
            name: name.to_owned(),
            raw_data: bytes,
            ..TensorProto::default()
        });
        name.to_owned()
    }

    /// The bytes of an .onnx file; the same graph gives the same bytes.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "facefold".to_owned(),
            graph: Some(self.proto),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPERATOR_SET }],
            metadata_props: self.notes,
        };
        model.encode_to_vec()
    }
}

fn attribute(name: &str, value: &Attribute<'_>) -> AttributeProto {
    let plain = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
    match value {
        Attribute::Integer(i) => {
            AttributeProto { i: Some(*i), r#type: attribute_type::INT, ..plain }
        }
        Attribute::Integers(ints) => {
            AttributeProto { ints: ints.to_vec(), r#type: attribute_type::INTS, ..plain }
        }
        Attribute::Float(f) => {
            AttributeProto { f: Some(*f), r#type: attribute_type::FLOAT, ..plain }
        }
        Attribute::Text(text) => AttributeProto {
            s: Some(text.as_bytes().to_vec()),
            r#type: attribute_type::STRING,
            ..plain
        },
    }
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

#[cfg(test)]
mod tests {
    use super::{Attribute, Graph, WeightStorage};
    use crate::proto::{ModelProto, TensorProto};
    use prost::Message;

    /// The model of one product by weights of 2 x 3 whose largest value is `largest`.
    fn written(weights: WeightStorage, largest: f32) -> ModelProto {
        let mut graph = Graph::new("product", weights);
        graph.input("x", &[2]);
        let values = [0.5, -1.0, 0.0, 0.25, largest, 0.0];
        let weights = graph.weights("w", &[2, 3], &values, 1);
        graph.node("MatMul", &["x", &weights], "y", &[]);
        graph.output("y", &[3]);
        graph.note("licence", "none");
        ModelProto::decode(graph.to_bytes().as_slice()).unwrap()
    }

    fn stored(model: &ModelProto) -> Vec<(&str, i32, &[u8])> {
        let tensors = &model.graph.as_ref().unwrap().initializer;
        tensors
            .iter()
            .map(|TensorProto { name, data_type, raw_data, .. }| {
                (name.as_str(), *data_type, raw_data.as_slice())
            })
            .collect()
    }

    fn operators(model: &ModelProto) -> Vec<&str> {
        model.graph.as_ref().unwrap().node.iter().map(|node| node.op_type.as_str()).collect()
    }

    #[test]
    fn weights_are_stored_in_the_requested_format() {
        let model = written(WeightStorage::F32, 2.0);
        assert_eq!(operators(&model), ["MatMul"]);
        assert_eq!(stored(&model)[0].2.len(), 24);
        let model = written(WeightStorage::F16, 2.0);
        assert_eq!(operators(&model), ["Cast", "MatMul"]);
        let half = [0.5, -1.0, 0.0, 0.25, 2.0, 0.0].map(half::f16::from_f32);
        let half: Vec<u8> = half.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(stored(&model), [("w.stored", 10, half.as_slice())]);
        let model = written(WeightStorage::Int8, 2.0);
        assert_eq!(operators(&model), ["DequantizeLinear", "MatMul"]);
        // The columns' largest values are 0.5, 2 and 0.
        let whole = [127_i8, -64, 0, 64, 127, 0].map(|value| value.to_le_bytes()[0]);
        assert_eq!(stored(&model)[0], ("w.stored", 3, whole.as_slice()));
        assert_eq!(stored(&model)[1].2[..4], (0.5_f32 / 127.0).to_le_bytes());
    }

    #[test]
    fn weights_too_large_for_half_floats_stay_whole() {
        let model = written(WeightStorage::F16, 1e5);
        assert_eq!(operators(&model), ["MatMul"]);
        assert_eq!(stored(&model)[0].1, 1);
    }

    #[test]
    fn the_exported_file_has_its_metadata() {
        let model = written(WeightStorage::F32, 2.0);
        assert_eq!((model.ir_version, model.opset_import[0].version), (8, 13));
        let notes = &model.metadata_props[0];
        assert_eq!((notes.key.as_str(), notes.value.as_str()), ("licence", "none"));
        let graph = model.graph.unwrap();
        let batch = &graph.input[0].r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
        assert_eq!(batch.shape.as_ref().unwrap().dim[0].dim_param.as_deref(), Some("batch"));
        assert_eq!(super::attribute("axis", &Attribute::Integer(1)).i, Some(1));
    }
}
