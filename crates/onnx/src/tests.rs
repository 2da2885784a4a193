//! Graphs as the published files have them, a few nodes at a time.

use facefold_engine::{Network, Op};
use prost::Message;

use crate::import;
use crate::proto::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto,
    TensorType, TypeProto, ValueInfoProto, data_type,
};

/// A file under construction: input `x` of n x 4 x 32 x 32.
#[derive(Default)]
struct File(GraphProto);

impl File {
    fn new() -> Self {
        let sides = [None, Some(4), Some(32), Some(32)];
        let dim = sides.map(|dim_value| Dimension { dim_value, dim_param: None }).to_vec();
        let shape = Some(TensorShapeProto { dim });
        let tensor_type = Some(TensorType { elem_type: data_type::FLOAT, shape });
        let input = ValueInfoProto { name: "x".into(), r#type: Some(TypeProto { tensor_type }) };
        Self(GraphProto { name: "graph".into(), input: vec![input], ..GraphProto::default() })
    }

    fn weights(mut self, name: &str, shape: &[i64], values: &[f32]) -> Self {
        self.0.initializer.push(TensorProto {
            dims: shape.to_vec(),
            data_type: data_type::FLOAT,
            float_data: values.to_vec(),
            name: name.into(),
            ..TensorProto::default()
        });
        self
    }

    fn integers(mut self, name: &str, values: &[i64]) -> Self {
        self.0.initializer.push(TensorProto {
            dims: vec![values.len() as i64],
            data_type: data_type::INT64,
            int64_data: values.to_vec(),
            name: name.into(),
            ..TensorProto::default()
        });
        self
    }

    fn node(mut self, op: &str, inputs: &[&str], output: &str) -> Self {
        self.0.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![output.into()],
            op_type: op.into(),
            ..NodeProto::default()
        });
        self
    }

    /// Gives the last node an attribute.
    fn with(mut self, name: &str, attribute: AttributeProto) -> Self {
        let named = AttributeProto { name: name.into(), ..attribute };
        self.0.node.last_mut().unwrap().attribute.push(named);
        self
    }

    fn ints(self, name: &str, ints: &[i64]) -> Self {
        self.with(name, AttributeProto { ints: ints.to_vec(), ..AttributeProto::default() })
    }

    fn int(self, name: &str, value: i64) -> Self {
        self.with(name, AttributeProto { i: Some(value), ..AttributeProto::default() })
    }

    fn text(self, name: &str, value: &str) -> Self {
        self.with(name, AttributeProto { s: Some(value.into()), ..AttributeProto::default() })
    }

    fn bytes(mut self, outputs: &[&str]) -> Vec<u8> {
        self.0.output = outputs
            .iter()
            .map(|&name| ValueInfoProto { name: name.into(), r#type: None })
            .collect();
        ModelProto { graph: Some(self.0), ..ModelProto::default() }.encode_to_vec()
    }

    fn read(self, outputs: &[&str]) -> Network {
        import(&self.bytes(outputs)).unwrap()
    }

    fn refused(self, outputs: &[&str]) -> String {
        import(&self.bytes(outputs)).unwrap_err().to_string()
    }
}

fn ops(network: &Network) -> Vec<&'static str> {
    network.layers.iter().map(|layer| layer.op.name()).collect()
}

/// SCRFD's neck works its target size out from shapes, and its heads move each map to rows of
/// anchors; `det_10g` puts the batch third, scales its boxes and names its outputs by numbers.
#[test]
fn a_detector_loses_its_shape_arithmetic_and_its_final_moves() {
    let mut file = File::new()
        .weights("w", &[4, 4, 1, 1], &[0.5; 16])
        .node("Conv", &["x", "w"], "big")
        .node("MaxPool", &["big"], "small")
        .ints("kernel_shape", &[2, 2])
        .ints("strides", &[2, 2])
        .node("Shape", &["big"], "shape")
        .integers("two", &[2])
        .node("Gather", &["shape", "two"], "height")
        .node("Concat", &["height", "height"], "sizes")
        .weights("empty", &[0], &[])
        .node("Resize", &["small", "empty", "empty", "sizes"], "grown")
        .text("mode", "nearest")
        .text("coordinate_transformation_mode", "asymmetric")
        .text("nearest_mode", "floor")
        .node("Add", &["big", "grown"], "sum")
        .weights("one_and_a_half", &[], &[1.5])
        .node("Mul", &["sum", "one_and_a_half"], "scaled")
        .integers("rows", &[-1, 1]);
    let names = ["448", "471", "494", "451", "474", "497", "454", "477", "500"];
    for name in names {
        let (moved, rows) = (format!("{name}m"), format!("{name}r"));
        file = file
            .node("Transpose", &["scaled"], &moved)
            .ints("perm", &[2, 3, 0, 1])
            .node("Reshape", &[&moved, "rows"], &rows)
            .node("Sigmoid", &[&rows], name);
    }
    let network = file.read(&names);
    assert_eq!(ops(&network)[..5], ["convolution", "max pool", "upsample", "add", "affine"]);
    assert_eq!(network.layers.len(), 5 + 9);
    assert_eq!(network.layers[2].op, Op::Upsample(2));
    let scaled = Op::Affine { scale: vec![1.5; 4], shift: vec![0.0; 4] };
    assert_eq!(network.layers[4].op, scaled);
    let called: Vec<&str> = network.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(called[..4], ["score_8", "score_16", "score_32", "bbox_8"]);
    assert_eq!(network.shapes(32, 32).unwrap()[14].to_string(), "4x32x32");
}

#[test]
fn batch_normalisation_is_folded_with_the_files_epsilon() {
    let file = File::new()
        .weights("gamma", &[4], &[1.0, 2.0, 3.0, 4.0])
        .weights("beta", &[4], &[0.5; 4])
        .weights("mean", &[4], &[1.0, 0.0, -1.0, 2.0])
        .weights("variance", &[4], &[3.0, 0.0, 8.0, 15.0])
        .node("BatchNormalization", &["x", "gamma", "beta", "mean", "variance"], "y")
        .with("epsilon", AttributeProto { f: Some(1.0), ..AttributeProto::default() });
    let network = file.read(&["y"]);
    let scale = vec![0.5, 2.0, 1.0, 1.0];
    assert_eq!(network.layers[0].op, Op::Affine { scale, shift: vec![0.0, 0.5, 1.5, -1.5] });
    assert_eq!(network.outputs[0].name, "embedding");
}

#[test]
fn a_head_is_read_in_either_order_of_its_weights() {
    let values: Vec<f32> = (0..8192).map(|value| value as f32).collect();
    let head = |shape: &[i64], flipped: i64| {
        let file = File::new()
            .weights("w", shape, &values)
            .integers("rows", &[-1, 4096])
            .node("Dropout", &["x"], "same")
            .node("Reshape", &["same", "rows"], "row")
            .node("Gemm", &["row", "w"], "y")
            .int("transB", flipped);
        file.read(&["y"]).layers.remove(1).op
    };
    assert_eq!(head(&[2, 4096], 1), Op::Linear { weight: values.clone(), bias: vec![0.0; 2] });
    let weight = values.iter().step_by(2).chain(values.iter().skip(1).step_by(2));
    let flipped = Op::Linear { weight: weight.copied().collect(), bias: vec![0.0; 2] };
    assert_eq!(head(&[4096, 2], 0), flipped);
}

#[test]
fn unsupported_nodes_are_an_error_with_their_name() {
    let message = File::new().node("Softmax", &["x"], "probability").refused(&["probability"]);
    assert_eq!(message, "ONNX node `probability` (Softmax): this operator is not supported");
    let convolution =
        || File::new().weights("w", &[4, 4, 3, 3], &[0.0; 144]).node("Conv", &["x", "w"], "y");
    for (file, part) in [
        (convolution().ints("dilations", &[2, 2]), "dilations of 1"),
        (convolution().ints("pads", &[1, 1, 0, 0]), "four equal pads"),
        (convolution().ints("pads", &[9, 9, 9, 9]), "half the kernel"),
        (convolution().ints("strides", &[0, 0]), "strides of 1 to 64"),
        (convolution().text("auto_pad", "SAME_UPPER"), "SAME_UPPER"),
        (convolution().int("group", 0), "one group"),
        (convolution().int("group", 2), "expected 8 channels, found 4x32x32"),
        (File::new().node("Relu", &["nothing"], "y"), "`nothing` is not computed"),
        (File::new().node("Relu", &["x"], "x"), "exists already"),
        (File::new().weights("w", &[4, 4], &[0.0; 9]).node("PRelu", &["x", "w"], "y"), "`w`"),
        (File::new().node("Resize", &["x"], "y").text("mode", "linear"), "linear"),
        (File::new().weights("s", &[], &[f32::NAN]).node("Mul", &["x", "s"], "y"), "NaN"),
    ] {
        let message = file.refused(&["y"]);
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn files_without_one_picture_and_an_output_are_refused() {
    let no_graph = ModelProto::default().encode_to_vec();
    assert!(import(&no_graph).unwrap_err().to_string().contains("holds none"));
    assert!(import(b"a text, no model").unwrap_err().to_string().contains("no ONNX model"));
    assert!(File::new().refused(&[]).contains("no outputs"));
    assert!(File::new().refused(&["y"]).contains("`y` is not computed"));
    assert!(File(GraphProto::default()).refused(&["y"]).contains("one input"));
}
