//! How a bundle's file stores the numbers of its heads.

use std::fmt;
use std::str::FromStr;

use half::f16;
use ndarray::{ArrayD, IxDyn};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

/// How a bundle's file stores the matrices of its heads. Vectors (scales, means, thresholds, of
/// which variances span more than half precision does) are always single precision: they are few.
/// So are trees, and the support vectors and coefficients of `svm` and `svm-linfa` with a Gaussian or
/// polynomial kernel: their sums would move too much. Everything is computed in single precision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightFormat {
    /// Single precision: what was trained, to the bit.
    #[default]
    F32,
    /// Half precision: half the size, and predictions that move by less than 0.001 (probability)
    /// or 0.05 years; those of `knn` by a neighbour, where two are equally near.
    F16,
}

impl WeightFormat {
    /// `f32` or `f16`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }
}

/// A text that names no weight format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected weights as `f32` or `f16`, found `{0}`")]
pub struct InvalidWeightFormat(String);

impl FromStr for WeightFormat {
    type Err = InvalidWeightFormat;

    fn from_str(text: &str) -> Result<Self, InvalidWeightFormat> {
        let found = [Self::F32, Self::F16].into_iter().find(|format| format.as_str() == text);
        found.ok_or_else(|| InvalidWeightFormat(text.to_owned()))
    }
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A tensor as it stands in the file.
pub(crate) struct StoredTensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// A tensor in a format, or the first value that the format cannot hold.
pub(crate) fn store(tensor: &ArrayD<f32>, format: WeightFormat) -> Result<StoredTensor, f32> {
    let dtype = match format {
        WeightFormat::F16 if tensor.ndim() >= 2 => Dtype::F16,
        _ => Dtype::F32,
    };
    let bytes = if dtype == Dtype::F16 {
        let too_large = |value: &&f32| value.is_finite() && f16::from_f32(**value).is_infinite();
        if let Some(&value) = tensor.iter().find(too_large) {
            return Err(value);
        }
        tensor.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
    } else {
        tensor.iter().flat_map(|value| value.to_le_bytes()).collect()
    };
    Ok(StoredTensor { dtype, shape: tensor.shape().to_vec(), bytes })
}

/// The values of a stored tensor.
pub(crate) fn load(view: &TensorView<'_>) -> Result<ArrayD<f32>, String> {
    let bytes = view.data();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => {
            bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect()
        }
        other => return Err(format!("expected F32 or F16, found {other:?}")),
    };
    ArrayD::from_shape_vec(IxDyn(view.shape()), values).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::{WeightFormat, load, store};

    fn round_trip(tensor: &ArrayD<f32>) -> (Dtype, ArrayD<f32>) {
        let stored = store(tensor, WeightFormat::F16).unwrap();
        let view = TensorView::new(stored.dtype, stored.shape.clone(), &stored.bytes).unwrap();
        (stored.dtype, load(&view).unwrap())
    }

    #[test]
    fn matrices_are_rounded_once_and_vectors_never() {
        // numpy.float16([0.1, 1/3, -2049, 1e-7]) as numpy.float32: the nearest, ties to even.
        let values = vec![0.1, 1.0 / 3.0, -2049.0, 1e-7];
        let rounded = [0.099_975_586, 0.333_251_95, -2048.0, 1.192_092_9e-7];
        let matrix = ArrayD::from_shape_vec(IxDyn(&[2, 2]), values.clone()).unwrap();
        let (dtype, once) = round_trip(&matrix);
        assert_eq!((dtype, once.iter().copied().collect::<Vec<_>>()), (Dtype::F16, rounded.into()));
        assert_eq!(round_trip(&once).1, once);
        let vector = ArrayD::from_shape_vec(IxDyn(&[4]), values).unwrap();
        assert_eq!(round_trip(&vector), (Dtype::F32, vector));
    }

    #[test]
    fn a_value_beyond_half_precision_is_named() {
        let matrix = ArrayD::from_shape_vec(IxDyn(&[1, 2]), vec![1.0, 7e4]).unwrap();
        assert_eq!(store(&matrix, WeightFormat::F16).err(), Some(7e4));
        assert!(store(&matrix, WeightFormat::F32).is_ok());
    }
}
