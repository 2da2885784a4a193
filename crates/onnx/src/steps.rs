//! Writes the computation graph of a head as nodes of an ONNX graph.

use crate::computation::{ComputationGraph, Operation, Step, Value};
use crate::graph::{Attribute, Graph};

impl Graph {
    /// Appends a computation that takes the value `features`, of so many crops a face one block after
    /// the other; gives the name of its value `prediction`. All names begin with `prefix`.
    pub fn computation(
        &mut self,
        prefix: &str,
        computation: &ComputationGraph,
        prediction: Value,
        features: &str,
        crops: usize,
    ) -> String {
        let mut values = vec![features.to_owned()];
        for (number, step) in computation.steps().iter().enumerate() {
            let value = match step {
                Step::Constant { name, shape, values, is_weight } => {
                    let name = format!("{prefix}/{number}.{name}");
                    // Columns are outputs: weights are inputs x outputs.
                    if *is_weight {
                        self.weights(&name, shape, values, 1)
                    } else {
                        self.floats(&name, shape, values)
                    }
                }
                Step::Node { operation, inputs } => {
                    let inputs: Vec<&str> =
                        inputs.iter().map(|input| values[input.index()].as_str()).collect();
                    let name = format!("{prefix}/{number}");
                    computed(self, &name, *operation, &inputs, crops)
                }
            };
            values.push(value);
        }
        values.swap_remove(prediction.index())
    }
}

fn computed(
    graph: &mut Graph,
    name: &str,
    operation: Operation,
    inputs: &[&str],
    crops: usize,
) -> String {
    let columns = Attribute::Integers(&[1]);
    let part = |part: &str| format!("{name}.{part}");
    match operation {
        Operation::Add => graph.node("Add", inputs, name, &[]),
        Operation::Subtract => graph.node("Sub", inputs, name, &[]),
        Operation::Multiply => graph.node("Mul", inputs, name, &[]),
        Operation::Divide => graph.node("Div", inputs, name, &[]),
        Operation::Power => graph.node("Pow", inputs, name, &[]),
        Operation::Maximum => graph.node("Max", inputs, name, &[]),
        Operation::Minimum => graph.node("Min", inputs, name, &[]),
        Operation::Floor => graph.node("Floor", inputs, name, &[]),
        Operation::MatMul => graph.node("MatMul", inputs, name, &[]),
        Operation::Exp => graph.node("Exp", inputs, name, &[]),
        Operation::Sigmoid => graph.node("Sigmoid", inputs, name, &[]),
        Operation::Softmax => {
            graph.node("Softmax", inputs, name, &[("axis", Attribute::Integer(1))])
        }
        // Since operator set 13 the axes of this one sum, and of no other, are an input.
        Operation::RowSum => {
            let axes = graph.integers(&part("axes"), &[1]);
            graph.node("ReduceSum", &[inputs[0], &axes], name, &[])
        }
        Operation::RowNorm => graph.node("ReduceL2", inputs, name, &[("axes", columns)]),
        Operation::CumulativeSum => {
            let axis = graph.integer(&part("axis"), 1);
            let exclusive = ("exclusive", Attribute::Integer(1));
            graph.node("CumSum", &[inputs[0], &axis], name, &[exclusive])
        }
        Operation::Slice { first, end } => {
            let [first, end, axis] = [("first", first), ("end", end), ("axis", 1)]
                .map(|(name, value)| graph.integers(&part(name), &[value as i64]));
            graph.node("Slice", &[inputs[0], &first, &end, &axis], name, &[])
        }
        Operation::Concat => graph.node("Concat", inputs, name, &[("axis", Attribute::Integer(1))]),
        Operation::MeanOfCrops { .. } if crops == 1 => inputs[0].to_owned(),
        Operation::MeanOfCrops { width } => {
            let sides = graph.integers(&part("sides"), &[crops as i64, -1, width as i64]);
            let crops = graph.node("Reshape", &[inputs[0], &sides], &part("crops"), &[]);
            let over = [("axes", Attribute::Integers(&[0])), ("keepdims", Attribute::Integer(0))];
            graph.node("ReduceMean", &[&crops], name, &over)
        }
    }
}
