//! The values of an ONNX initializer, in any of its encodings.

use crate::OnnxError;
use crate::proto::{TensorProto, data_type};

/// More channels or weights along one side than any picture network has; keeps products of
/// sides far from overflowing.
pub const LARGEST_SIDE: usize = 1 << 16;

fn fail(tensor: &TensorProto, problem: impl Into<String>) -> OnnxError {
    OnnxError::Tensor { tensor: tensor.name.clone(), problem: problem.into() }
}

/// The tensor's sides, each from 0 to [`LARGEST_SIDE`].
pub fn shape(tensor: &TensorProto) -> Result<Vec<usize>, OnnxError> {
    let side = |&dim: &i64| {
        usize::try_from(dim).ok().filter(|&side| side <= LARGEST_SIDE).ok_or_else(|| {
            fail(tensor, format!("expected sides of 0 to {LARGEST_SIDE}, found {:?}", tensor.dims))
        })
    };
    tensor.dims.iter().map(side).collect()
}

fn count(tensor: &TensorProto) -> Result<usize, OnnxError> {
    shape(tensor)?
        .into_iter()
        .try_fold(1_usize, usize::checked_mul)
        .ok_or_else(|| fail(tensor, format!("the shape {:?} is too large", tensor.dims)))
}

/// The values of an f32 tensor, all finite.
pub fn floats(tensor: &TensorProto) -> Result<Vec<f32>, OnnxError> {
    let values = values(tensor, data_type::FLOAT, "32-bit floats", &tensor.float_data, |bytes| {
        f32::from_le_bytes(bytes)
    })?;
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(fail(tensor, "expected finite weights, found infinity or NaN: the file is corrupt"))
    }
}

/// The values of an i64 tensor.
pub fn integers(tensor: &TensorProto) -> Result<Vec<i64>, OnnxError> {
    values(tensor, data_type::INT64, "64-bit integers", &tensor.int64_data, |bytes| {
        i64::from_le_bytes(bytes)
    })
}

fn values<T: Copy, const N: usize>(
    tensor: &TensorProto,
    data_type: i32,
    kind: &str,
    typed: &[T],
    from_bytes: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, OnnxError> {
    if tensor.data_type != data_type {
        return Err(fail(tensor, format!("expected {kind}, found data type {}", tensor.data_type)));
    }
    if tensor.data_location != 0 {
        return Err(fail(tensor, "its values lie in another file; export the model as one file"));
    }
    let expected = count(tensor)?;
    let (raw, rest) = tensor.raw_data.as_chunks::<N>();
    let values: Vec<T> = if tensor.raw_data.is_empty() {
        typed.to_vec()
    } else {
        raw.iter().map(|&bytes| from_bytes(bytes)).collect()
    };
    if values.len() == expected && rest.is_empty() {
        Ok(values)
    } else {
        let found = values.len();
        Err(fail(
            tensor,
            format!("expected {expected} values for {:?}, found {found}", tensor.dims),
        ))
    }
}
