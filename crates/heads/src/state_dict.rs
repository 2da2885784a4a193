//! Reads the state dict of a stored head: its tensors and settings, with all shapes checked.

use std::collections::BTreeMap;

use facefold_core::{HeadError, StateDict, TargetKind, TrainingLog};
use facefold_kernels::Multiplier;
use ndarray::{Array2, ArrayD, Ix2};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A head's tensors by name.
pub(crate) type Tensors = BTreeMap<String, ArrayD<f32>>;

/// What every head stores in addition to its own settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored<T> {
    /// What it predicts.
    pub(crate) target: TargetKind,
    /// Columns scaled to length 1.
    pub(crate) unit_columns: Option<(usize, usize)>,
    /// The head's own settings.
    pub(crate) settings: T,
    /// How the fit went.
    pub(crate) log: TrainingLog,
}

impl<T: Serialize> Stored<T> {
    /// The state dict of a head with these settings.
    pub(crate) fn state_dict(&self, kind: &str, tensors: Tensors) -> StateDict {
        StateDict { kind: kind.to_owned(), config: json(self), tensors }
    }
}

/// A value as JSON. Settings are plain structs, which always have a JSON form.
pub(crate) fn json(value: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or(serde_json::Value::Null)
}

/// The matrix multiplier of this machine.
pub(crate) fn multiplier() -> Result<Multiplier, HeadError> {
    Multiplier::chosen().map_err(|error| HeadError::Backend {
        context: "choosing kernels for a head".to_owned(),
        message: error.to_string(),
    })
}

/// Reads the state dict of one head.
pub(crate) struct Reader<'a>(pub(crate) &'a StateDict);

impl Reader<'_> {
    /// The settings.
    pub(crate) fn stored<T: DeserializeOwned>(&self) -> Result<Stored<T>, HeadError> {
        let stored: Stored<T> = serde_json::from_value(self.0.config.clone()).map_err(|error| {
            HeadError::Corrupt(format!("settings of a `{}` head: {error}", self.0.kind))
        })?;
        match stored.target {
            TargetKind::Classes { count: 0 } => {
                Err(HeadError::Corrupt(format!("a `{}` head of 0 classes", self.0.kind)))
            }
            _ => Ok(stored),
        }
    }

    /// A tensor of one dimension, of `length` values where that is known.
    pub(crate) fn vector(&self, name: &str, length: Option<usize>) -> Result<Vec<f32>, HeadError> {
        let tensor = self.tensor(name)?;
        let expected = length.unwrap_or(tensor.len());
        if tensor.shape() != [expected] {
            return Err(self.shape(name, &format!("[{expected}]"), tensor));
        }
        Ok(tensor.iter().copied().collect())
    }

    /// A tensor of two dimensions; `None` where a dimension may be anything.
    pub(crate) fn matrix(
        &self,
        name: &str,
        expected: (Option<usize>, Option<usize>),
    ) -> Result<Array2<f32>, HeadError> {
        let tensor = self.tensor(name)?;
        let wrong = || self.shape(name, &format!("{expected:?}"), tensor);
        let matrix = tensor.clone().into_dimensionality::<Ix2>().map_err(|_| wrong())?;
        let fits = |wanted: Option<usize>, found| wanted.is_none_or(|wanted| wanted == found);
        if !fits(expected.0, matrix.nrows()) || !fits(expected.1, matrix.ncols()) {
            return Err(wrong());
        }
        Ok(matrix)
    }

    /// Rows of `width` values each, row by row: a tensor of two dimensions, or of one.
    pub(crate) fn rows(&self, name: &str, width: usize) -> Result<Vec<f32>, HeadError> {
        let tensor = self.tensor(name)?;
        if tensor.ndim() != 1 {
            return Ok(self.matrix(name, (None, Some(width)))?.iter().copied().collect());
        }
        if width == 0 && !tensor.is_empty() || width > 0 && !tensor.len().is_multiple_of(width) {
            return Err(self.shape(name, &format!("[n * {width}]"), tensor));
        }
        self.vector(name, None)
    }

    fn tensor(&self, name: &str) -> Result<&ArrayD<f32>, HeadError> {
        let tensor = self.0.tensors.get(name).ok_or_else(|| {
            HeadError::Corrupt(format!("a `{}` head needs the tensor `{name}`", self.0.kind))
        })?;
        if tensor.iter().all(|value| value.is_finite()) {
            Ok(tensor)
        } else {
            Err(HeadError::Corrupt(format!("tensor `{name}` holds values that are not finite")))
        }
    }

    fn shape(&self, name: &str, expected: &str, found: &ArrayD<f32>) -> HeadError {
        HeadError::Corrupt(format!(
            "tensor `{name}` of a `{}` head should have shape {expected}, found {:?}",
            self.0.kind,
            found.shape()
        ))
    }
}

/// Converts an error of candle, with the operation that failed.
pub(crate) fn backend(context: &str) -> impl Fn(candle_core::Error) -> HeadError + '_ {
    move |error| HeadError::Backend { context: context.to_owned(), message: error.to_string() }
}
