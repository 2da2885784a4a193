//! From rows of a feature matrix to what a head sees: standardised columns.

use facefold_core::{FeatureDataset, FeatureMatrix, FeatureRows, HeadError};
use facefold_kernels::{Vectorised, dispatch_simd};
use facefold_onnx::computation::{ComputationGraph, Operation, Value};
use ndarray::Array1;

use crate::state_dict::{Reader, Tensors};

/// Rows of [`Standardiser::chunks`].
///
/// candle hands elementwise operations on 65,536 values or more to a pool of threads of its own;
/// 250 rows of 256 units stay on the thread that predicts.
const CHUNK_ROWS: usize = 250;

/// Per-column mean and scale, fitted on training rows only, and the columns scaled to length 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standardiser {
    mean: Vec<f32>,
    /// 1 / standard deviation; 0 for a column that is constant in training.
    scale: Vec<f32>,
    unit_columns: Option<(usize, usize)>,
}

impl Standardiser {
    /// Mean and standard deviation of the training rows as they are (not their mirrored crops).
    pub(crate) fn fit(
        training: &FeatureDataset<'_>,
        unit_columns: Option<(usize, usize)>,
    ) -> Result<Self, HeadError> {
        let mut standardiser = Self::unscaled(training, unit_columns)?;
        let width = standardiser.width();
        let mut row = vec![0.0; width];
        // Sums of differences from the first row, in one pass: the rows may lie on a disk.
        let mut origin = vec![0.0; width];
        let plain = training.matrix().plain();
        standardiser.apply(plain, training.rows()[0], &mut origin);
        let (mut sum, mut squares) = (vec![0.0_f64; width], vec![0.0_f64; width]);
        for &index in training.rows() {
            standardiser.apply(plain, index, &mut row);
            for ((&value, &origin), (sum, square)) in
                row.iter().zip(&origin).zip(sum.iter_mut().zip(&mut squares))
            {
                let difference = f64::from(value) - f64::from(origin);
                *sum += difference;
                *square += difference * difference;
            }
        }
        let n = training.len() as f64;
        if let Some(column) = squares.iter().position(|square| !square.is_finite()) {
            return Err(HeadError::Untrainable(format!(
                "column {column} of the training rows holds values that are not finite"
            )));
        }
        for column in 0..width {
            let from_origin = sum[column] / n;
            let mean = f64::from(origin[column]) + from_origin;
            let variance = squares[column] / n - from_origin * from_origin;
            let deviation = variance.max(0.0).sqrt();
            let varies = deviation > 1e-6 * mean.abs().max(1e-6);
            standardiser.mean[column] = mean as f32;
            standardiser.scale[column] = if varies { (1.0 / deviation) as f32 } else { 0.0 };
        }
        Ok(standardiser)
    }

    /// Rows as they are, but for the columns scaled to length 1.
    fn unscaled(
        training: &FeatureDataset<'_>,
        unit_columns: Option<(usize, usize)>,
    ) -> Result<Self, HeadError> {
        let width = training.matrix().width();
        if let Some((first, end)) = unit_columns
            && (first >= end || end > width)
        {
            return Err(HeadError::Setting(format!(
                "`unit_columns` must be a range within {width} columns, found {first}..{end}"
            )));
        }
        if training.is_empty() || width == 0 {
            return Err(HeadError::Untrainable(format!(
                "{} training rows of {width} features",
                training.len()
            )));
        }
        Ok(Self { mean: vec![0.0; width], scale: vec![1.0; width], unit_columns })
    }

    /// Rows scaled to a length of the root of d, whatever the training rows: by all columns, or by
    /// those given.
    pub(crate) fn unit(
        training: &FeatureDataset<'_>,
        unit_columns: Option<(usize, usize)>,
    ) -> Result<Self, HeadError> {
        let mut standardiser = Self::unscaled(training, unit_columns)?;
        let width = standardiser.width();
        let plain = training.matrix().plain();
        let mut values = vec![0.0; width];
        let mut finite = |&row: &usize| {
            plain.copy(row, &mut values);
            values.iter().all(|value| value.is_finite())
        };
        if let Some(row) = training.rows().iter().find(|row| !finite(row)) {
            return Err(HeadError::Untrainable(format!(
                "row {row} holds values that are not finite"
            )));
        }
        standardiser.unit_columns.get_or_insert((0, width));
        standardiser.scale.fill((width as f32).sqrt());
        Ok(standardiser)
    }

    /// Columns scaled to length 1.
    pub(crate) fn unit_columns(&self) -> Option<(usize, usize)> {
        self.unit_columns
    }

    /// Number of features d.
    pub(crate) fn width(&self) -> usize {
        self.mean.len()
    }

    /// Writes a row, standardised, into `out`, which has d values.
    pub(crate) fn apply(&self, source: &FeatureRows, row: usize, out: &mut [f32]) {
        source.copy(row, out);
        dispatch_simd(Apply { standardiser: self, row: out });
    }

    /// Appends what [`Self::apply`] does to the features; gives the standardised ones, n x d.
    pub(crate) fn export(&self, graph: &mut ComputationGraph) -> Value {
        let (first, end) = self.unit_columns.unwrap_or((0, 0));
        let mut joined = None;
        for (first, end, is_unit) in
            [(0, first, false), (first, end, true), (end, self.width(), false)]
        {
            if first == end {
                continue;
            }
            let mut part = Value::FEATURES;
            if (first, end) != (0, self.width()) {
                part = graph.compute(Operation::Slice { first, end }, &[part]);
            }
            if is_unit {
                let length = graph.compute(Operation::RowNorm, &[part]);
                // Columns of zeros stay zeros, whatever they are divided by.
                let length = graph.with(Operation::Maximum, length, f32::MIN_POSITIVE);
                part = graph.compute(Operation::Divide, &[part, length]);
            }
            joined = Some(match joined {
                None => part,
                Some(before) => graph.compute(Operation::Concat, &[before, part]),
            });
        }
        let mean = graph.row("features.mean", self.mean.as_slice());
        let scale = graph.row("features.scale", self.scale.as_slice());
        let centred =
            graph.compute(Operation::Subtract, &[joined.unwrap_or(Value::FEATURES), mean]);
        graph.compute(Operation::Multiply, &[centred, scale])
    }

    /// The standardised rows, `rows.len()` x d, times `factor`.
    pub(crate) fn rows(&self, source: &FeatureRows, rows: &[usize], factor: f32) -> Vec<f32> {
        let mut values = Vec::new();
        self.write_rows(source, rows, factor, &mut values);
        values
    }

    /// The same, written over what `values` has.
    pub(crate) fn write_rows(
        &self,
        source: &FeatureRows,
        rows: &[usize],
        factor: f32,
        values: &mut Vec<f32>,
    ) {
        let width = self.width();
        values.resize(rows.len() * width, 0.0);
        for (&index, out) in rows.iter().zip(values.chunks_exact_mut(width)) {
            self.apply(source, index, out);
            if factor != 1.0 {
                for value in out.iter_mut() {
                    *value *= factor;
                }
            }
        }
    }

    /// The standardised rows, some at a time, which bounds the memory of these copies.
    pub(crate) fn chunks<'a>(
        &'a self,
        source: &'a FeatureRows,
        rows: &'a [usize],
    ) -> impl Iterator<Item = Vec<f32>> + 'a {
        rows.chunks(CHUNK_ROWS).map(|rows| self.rows(source, rows, 1.0))
    }

    /// Refuses a matrix of another width, or rows that it lacks.
    pub(crate) fn check(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<(), HeadError> {
        if matrix.width() != self.width() {
            return Err(HeadError::Shape(format!(
                "the head was trained on {} features, the matrix has {}",
                self.width(),
                matrix.width()
            )));
        }
        match rows.iter().find(|&&row| row >= matrix.rows()) {
            Some(row) => {
                Err(HeadError::Shape(format!("row {row} of a matrix of {}", matrix.rows())))
            }
            None => Ok(()),
        }
    }

    /// Adds its numbers to a head's tensors.
    pub(crate) fn store(&self, tensors: &mut Tensors) {
        tensors.insert("features.mean".to_owned(), Array1::from(self.mean.clone()).into_dyn());
        tensors.insert("features.scale".to_owned(), Array1::from(self.scale.clone()).into_dyn());
    }

    /// Takes its numbers from a stored head.
    pub(crate) fn restore(
        reader: &Reader<'_>,
        unit_columns: Option<(usize, usize)>,
    ) -> Result<Self, HeadError> {
        let mean = reader.vector("features.mean", None)?;
        let scale = reader.vector("features.scale", Some(mean.len()))?;
        match unit_columns {
            _ if mean.is_empty() => Err(HeadError::Corrupt("`features.mean` is empty".to_owned())),
            Some((first, end)) if first >= end || end > mean.len() => Err(HeadError::Corrupt(
                format!("unit columns {first}..{end} of {} features", mean.len()),
            )),
            _ => Ok(Self { mean, scale, unit_columns }),
        }
    }
}

/// Standardises a row where it is.
struct Apply<'a> {
    standardiser: &'a Standardiser,
    row: &'a mut [f32],
}

impl Vectorised for Apply<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(self) {
        let Self { standardiser: Standardiser { mean, scale, unit_columns }, row } = self;
        let (first, end) = unit_columns.unwrap_or((0, 0));
        let length = length(&row[first..end]);
        let divisor = if length > 0.0 { length } else { 1.0 };
        for (columns, divisor) in [(0..first, 1.0), (first..end, divisor), (end..row.len(), 1.0)] {
            let moments = mean[columns.clone()].iter().zip(&scale[columns.clone()]);
            for (value, (mean, scale)) in row[columns].iter_mut().zip(moments) {
                *value = (*value / divisor - mean) * scale;
            }
        }
    }
}

#[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
#[inline(always)]
fn length(values: &[f32]) -> f32 {
    /// Independent partial sums.
    const LANES: usize = 16;
    let (lines, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for line in lines {
        for lane in 0..LANES {
            sums[lane] += line[lane] * line[lane];
        }
    }
    let rest: f32 = rest.iter().map(|value| value * value).sum();
    (sums.iter().sum::<f32>() + rest).sqrt()
}

#[cfg(test)]
mod tests {
    use super::Standardiser;
    use facefold_core::{FeatureDataset, FeatureMatrix, Targets};
    use ndarray::array;

    #[test]
    fn only_training_rows_are_standardised_by() {
        let matrix = FeatureMatrix::new(array![[1.0, 5.0], [3.0, 5.0], [900.0, -7.0]], None);
        let matrix = matrix.unwrap();
        let training =
            FeatureDataset::new(&matrix, vec![0, 1], Targets::exact_years(vec![1.0, 2.0])).unwrap();
        let standardiser = Standardiser::fit(&training, None).unwrap();
        assert_eq!(standardiser.mean, [2.0, 5.0]);
        // The second column never varies in training: it is silenced, whatever it holds later.
        assert_eq!(standardiser.scale, [1.0, 0.0]);
        assert_eq!(standardiser.rows(matrix.plain(), &[0, 2], 1.0), [-1.0, 0.0, 898.0, 0.0]);
    }

    #[test]
    fn unit_columns_lose_their_norm() {
        let matrix =
            FeatureMatrix::new(array![[3.0, 4.0, 1.0], [30.0, 40.0, 2.0], [4.0, 3.0, 2.0]], None);
        let matrix = matrix.unwrap();
        let targets = Targets::exact_years(vec![1.0, 2.0, 3.0]);
        let training = FeatureDataset::new(&matrix, vec![0, 1, 2], targets).unwrap();
        let standardiser = Standardiser::fit(&training, Some((0, 2))).unwrap();
        let rows = standardiser.rows(matrix.plain(), &[0, 1], 1.0);
        assert_eq!(rows[0..2], rows[3..5]);
        assert!(Standardiser::fit(&training, Some((2, 4))).is_err());
    }

    #[test]
    fn infinite_features_are_refused() {
        let matrix = FeatureMatrix::new(array![[1.0], [f32::INFINITY]], None).unwrap();
        let training =
            FeatureDataset::new(&matrix, vec![0, 1], Targets::exact_years(vec![1.0, 2.0])).unwrap();
        let error = Standardiser::fit(&training, None).unwrap_err();
        assert!(error.to_string().contains("column 0"), "{error}");
    }
}
