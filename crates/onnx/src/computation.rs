//! The computation graph of a fitted head: elementary operations that any runtime has.
//! [`crate::Graph::computation`] writes it as nodes.
//!
//! Values are matrices of n rows, one face a row, or constants; the graph does not fix n.

use std::sync::Arc;

/// A value of the graph: the features, or the result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Value(usize);

impl Value {
    /// The features, n x d, as an extractor gives them and stores keep them.
    pub const FEATURES: Self = Self(0);

    /// Its position: 0 for the features, then the steps in order from 1 on.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// An operation of a node. Inputs of different shapes are broadcast as in NumPy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// a + b.
    Add,
    /// a - b.
    Subtract,
    /// a b, element by element.
    Multiply,
    /// a / b, element by element.
    Divide,
    /// a to the power b, element by element.
    Power,
    /// The larger of a and b, element by element.
    Maximum,
    /// The smaller of a and b, element by element.
    Minimum,
    /// The largest whole number that is not above a.
    Floor,
    /// The matrix product: n x k by k x m.
    MatMul,
    /// exp a, element by element.
    Exp,
    /// 1 / (1 + exp -a).
    Sigmoid,
    /// The softmax of each row: exp a, divided by the row's sum.
    Softmax,
    /// The sum of each row, n x 1.
    RowSum,
    /// The L2 norm of each row, n x 1.
    RowNorm,
    /// For each column the sum of the columns before it (exclusive cumulative sum).
    CumulativeSum,
    /// Some columns.
    Slice {
        /// The first.
        first: usize,
        /// The first that is left out.
        end: usize,
    },
    /// a's columns, then b's.
    Concat,
    /// The mean over the two crops of a face, where the features are of the crops as they are and
    /// then of the mirrored ones; where they are of one crop a face, the value itself.
    MeanOfCrops {
        /// Number of columns.
        width: usize,
    },
}

/// One step of the graph.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Constants.
    Constant {
        /// What they are: `features.mean`, `hidden.0.weight`. Not unique.
        name: String,
        /// Rows and columns.
        shape: [usize; 2],
        /// Row by row.
        values: Arc<[f32]>,
        /// Whether they are a layer's weights, inputs x outputs, which may be quantised.
        is_weight: bool,
    },
    /// An operation on earlier values.
    Node {
        /// The operation.
        operation: Operation,
        /// Its inputs.
        inputs: Vec<Value>,
    },
}

/// A list of steps in topological order. A head appends its own and returns the value that is its
/// prediction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ComputationGraph {
    steps: Vec<Step>,
}

impl ComputationGraph {
    /// The steps, in an order in which they can be computed.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    fn push(&mut self, step: Step) -> Value {
        self.steps.push(step);
        Value(self.steps.len())
    }

    /// Appends an operation.
    pub fn compute(&mut self, operation: Operation, inputs: &[Value]) -> Value {
        self.push(Step::Node { operation, inputs: inputs.to_vec() })
    }

    /// Appends a constant row, which is broadcast to all rows.
    pub fn row(&mut self, name: &str, values: impl Into<Arc<[f32]>>) -> Value {
        let values = values.into();
        let (name, shape) = (name.to_owned(), [1, values.len()]);
        self.push(Step::Constant { name, shape, values, is_weight: false })
    }

    /// Appends a constant matrix that is never quantised.
    pub fn matrix(&mut self, name: &str, columns: usize, values: Vec<f32>) -> Value {
        let (name, shape) = (name.to_owned(), [values.len() / columns.max(1), columns]);
        self.push(Step::Constant { name, shape, values: values.into(), is_weight: false })
    }

    /// Appends a fully connected layer: `input` times weights, inputs x outputs, plus biases.
    pub fn layer(
        &mut self,
        name: &str,
        input: Value,
        weights: Vec<f32>,
        biases: Vec<f32>,
    ) -> Value {
        let shape = [weights.len() / biases.len().max(1), biases.len()];
        let weight = Step::Constant {
            name: format!("{name}.weight"),
            shape,
            values: weights.into(),
            is_weight: true,
        };
        let weight = self.push(weight);
        let product = self.compute(Operation::MatMul, &[input, weight]);
        let biases = self.row(&format!("{name}.bias"), biases);
        self.compute(Operation::Add, &[product, biases])
    }

    /// Appends an operation on `value` and one number.
    pub fn with(&mut self, operation: Operation, value: Value, number: f32) -> Value {
        let number = self.row("number", vec![number]);
        self.compute(operation, &[value, number])
    }

    /// max(value, 0).
    pub fn rectify(&mut self, value: Value) -> Value {
        self.with(Operation::Maximum, value, 0.0)
    }

    /// value * scale + shift, one of each for all columns.
    pub fn scaled(&mut self, value: Value, scale: f32, shift: f32) -> Value {
        let scaled = self.with(Operation::Multiply, value, scale);
        self.with(Operation::Add, scaled, shift)
    }
}
