//! What a fitted head computes, as a list of elementary steps that any runtime has.
//!
//! Values are matrices of n rows, a face a row, or stored numbers; a formula does not know n.

use std::sync::Arc;

use crate::loss::YEARS;

/// A value of a formula: the features, or what a step gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Value(usize);

impl Value {
    /// The features, n x d: raw, as an extractor gives them and stores keep them.
    pub const FEATURES: Self = Self(0);

    /// Its position: 0 for the features, from 1 on the steps in their order.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// What a step does to the values it takes. Those of different shapes are stretched as in NumPy.
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
    /// The larger of a and b.
    Larger,
    /// The smaller of a and b.
    Smaller,
    /// The largest whole number that is not above a.
    Floor,
    /// The matrix product: n x k by k x m.
    Product,
    /// exp a.
    Exponential,
    /// 1 / (1 + exp -a).
    Sigmoid,
    /// Shares of each row: exp a, over the row's sum of them.
    Softmax,
    /// The sum of each row, n x 1.
    RowSum,
    /// The root of the sum of squares of each row, n x 1.
    RowLength,
    /// For each column the sum of those before it.
    SumBefore,
    /// Some columns.
    Columns {
        /// The first.
        first: usize,
        /// The first that is left out.
        end: usize,
    },
    /// a's columns, then b's.
    Beside,
    /// The mean over the two crops of a face, where the features are of the crops as they are and
    /// then of the mirrored ones; where they are of one crop a face, the value itself.
    MeanOfCrops {
        /// Number of columns.
        width: usize,
    },
}

/// One step of a formula.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Stored numbers.
    Stored {
        /// What they are: `features.mean`, `hidden.0.weight`. Not unique.
        name: String,
        /// Their sides, one or two.
        shape: [usize; 2],
        /// Row by row.
        values: Arc<[f32]>,
        /// Whether they are a layer's weights, inputs x outputs, which bear to be stored in fewer
        /// bits.
        is_weight: bool,
    },
    /// A computation.
    Computed {
        /// What is done.
        operation: Operation,
        /// To which earlier values.
        inputs: Vec<Value>,
    },
}

/// A list of steps. A head writes its own into it and gives the value that is its answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Formula {
    steps: Vec<Step>,
}

impl Formula {
    /// The steps, in an order in which they can be computed.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    fn push(&mut self, step: Step) -> Value {
        self.steps.push(step);
        Value(self.steps.len())
    }

    /// Appends a computation.
    pub(crate) fn compute(&mut self, operation: Operation, inputs: &[Value]) -> Value {
        self.push(Step::Computed { operation, inputs: inputs.to_vec() })
    }

    /// Appends one row of numbers, which stands for any number of equal rows.
    pub(crate) fn row(&mut self, name: &str, values: impl Into<Arc<[f32]>>) -> Value {
        let values = values.into();
        let (name, shape) = (name.to_owned(), [1, values.len()]);
        self.push(Step::Stored { name, shape, values, is_weight: false })
    }

    /// Appends a matrix of numbers that keep all their bits.
    pub(crate) fn matrix(&mut self, name: &str, columns: usize, values: Vec<f32>) -> Value {
        let (name, shape) = (name.to_owned(), [values.len() / columns.max(1), columns]);
        self.push(Step::Stored { name, shape, values: values.into(), is_weight: false })
    }

    /// Appends a fully connected layer: `input` times weights, inputs x outputs, plus biases.
    pub(crate) fn layer(
        &mut self,
        name: &str,
        input: Value,
        weights: Vec<f32>,
        biases: Vec<f32>,
    ) -> Value {
        let shape = [weights.len() / biases.len().max(1), biases.len()];
        let weight = Step::Stored {
            name: format!("{name}.weight"),
            shape,
            values: weights.into(),
            is_weight: true,
        };
        let weight = self.push(weight);
        let product = self.compute(Operation::Product, &[input, weight]);
        let biases = self.row(&format!("{name}.bias"), biases);
        self.compute(Operation::Add, &[product, biases])
    }

    /// Appends `value` and one number.
    pub(crate) fn with(&mut self, operation: Operation, value: Value, number: f32) -> Value {
        let number = self.row("number", vec![number]);
        self.compute(operation, &[value, number])
    }

    /// max(value, 0).
    pub(crate) fn rectify(&mut self, value: Value) -> Value {
        self.with(Operation::Larger, value, 0.0)
    }

    /// value * scale + shift, one of each for all columns.
    pub(crate) fn scaled(&mut self, value: Value, scale: f32, shift: f32) -> Value {
        let scaled = self.with(Operation::Multiply, value, scale);
        self.with(Operation::Add, scaled, shift)
    }
}

/// Years, of shares of the years 0, 1, 2, … a row.
impl Formula {
    /// The mean of the distribution, n x 1: [`crate::loss::expectation`].
    pub(crate) fn expectation(&mut self, shares: Value) -> Value {
        let years = self.matrix("years", 1, (0..YEARS).map(|year| year as f32).collect());
        self.compute(Operation::Product, &[shares, years])
    }

    /// The median year of the distribution, n x 1: [`crate::loss::median_year`]. A year counts 1 if
    /// it lies below the median with all of its share.
    pub(crate) fn median_year(&mut self, shares: Value) -> Value {
        let parts = self.parts_below_median(shares);
        let whole = self.compute(Operation::Floor, &[parts]);
        let years = self.compute(Operation::RowSum, &[whole]);
        self.with(Operation::Smaller, years, (YEARS - 1) as f32)
    }

    /// The median of the distribution, n x 1: [`facefold_core::median_age`], written as a sum.
    ///
    /// A year that lies wholly below the median counts 1, the year of the median the part of its
    /// share that lies below, a year above 0; years begin at -0.5.
    pub(crate) fn median(&mut self, shares: Value) -> Value {
        let parts = self.parts_below_median(shares);
        let year = self.compute(Operation::RowSum, &[parts]);
        let year = self.with(Operation::Add, year, -0.5);
        self.rectify(year)
    }

    /// Which part of each year's share lies below the median, 0 to 1.
    fn parts_below_median(&mut self, shares: Value) -> Value {
        let sum = self.compute(Operation::RowSum, &[shares]);
        let half = self.with(Operation::Multiply, sum, 0.5);
        let below = self.compute(Operation::SumBefore, &[shares]);
        let missing = self.compute(Operation::Subtract, &[half, below]);
        // A year without a share lies on one side of the median: the quotient is far from 0 and 1,
        // or 0 where the median is reached.
        let shares = self.with(Operation::Larger, shares, f32::MIN_POSITIVE);
        let part = self.compute(Operation::Divide, &[missing, shares]);
        let part = self.rectify(part);
        self.with(Operation::Smaller, part, 1.0)
    }
}
