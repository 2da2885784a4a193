//! A bundle's familiarity in its file: tensors named `familiarity/<name>`, the components in one
//! byte a number.

use std::collections::BTreeMap;

use facefold_core::{FamiliarityModel, FamiliarityParameters};
use ndarray::Array2;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::weights::StoredTensor;

/// What the names of its tensors begin with.
pub(crate) const PREFIX: &str = "familiarity/";

/// The tensors of a model, by their names in the file.
pub(crate) fn store(model: &FamiliarityModel) -> BTreeMap<String, StoredTensor> {
    let FamiliarityParameters { embedding, mean, scale, components, units, statistics, distances } =
        model.parameters();
    let floats = |shape: &[usize], values: &[f32]| {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (Dtype::F32, shape.to_vec(), bytes)
    };
    let vector = |values: &[f32]| floats(&[values.len()], values);
    let bytes = components.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensors = [
        ("embedding", (Dtype::U32, vec![1], (*embedding as u32).to_le_bytes().to_vec())),
        ("mean", vector(mean)),
        ("scale", vector(scale)),
        ("components", (Dtype::I8, components.shape().to_vec(), bytes)),
        ("units", vector(units)),
        ("statistics", floats(&[statistics.len(), 2], statistics.as_flattened())),
        ("distances", vector(distances)),
    ];
    let stored = |(dtype, shape, bytes)| StoredTensor { dtype, shape, bytes };
    tensors.into_iter().map(|(name, tensor)| (format!("{PREFIX}{name}"), stored(tensor))).collect()
}

/// The model of tensors by their names without [`PREFIX`]; none where there is no tensor.
///
/// # Errors
/// What is wrong with the tensors, in words.
pub(crate) fn restore(
    tensors: &BTreeMap<&str, &TensorView<'_>>,
) -> Result<Option<FamiliarityModel>, String> {
    if tensors.is_empty() {
        return Ok(None);
    }
    let data = |name: &str, dtype: Dtype| match tensors.get(name) {
        Some(view) if view.dtype() == dtype => Ok((view.shape(), view.data())),
        Some(view) => {
            Err(format!("its tensor `{PREFIX}{name}` holds {:?}, expected {dtype:?}", view.dtype()))
        }
        None => Err(format!("it lacks the tensor `{PREFIX}{name}`")),
    };
    let floats = |name: &str| -> Result<Vec<f32>, String> {
        let (_, bytes) = data(name, Dtype::F32)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    };
    let odd = |name: &str| format!("its tensor `{PREFIX}{name}` has an odd shape");
    let (_, embedding) = data("embedding", Dtype::U32)?;
    let embedding = <[u8; 4]>::try_from(embedding).map_err(|_| odd("embedding"))?;
    let (shape, bytes) = data("components", Dtype::I8)?;
    let &[k, d] = shape else { return Err(odd("components")) };
    let components = bytes.iter().map(|&byte| i8::from_le_bytes([byte])).collect();
    let components = Array2::from_shape_vec((k, d), components).map_err(|_| odd("components"))?;
    let statistics: Vec<[f32; 2]> = floats("statistics")?.as_chunks().0.to_vec();
    let state = FamiliarityParameters {
        embedding: u32::from_le_bytes(embedding) as usize,
        mean: floats("mean")?,
        scale: floats("scale")?,
        components,
        units: floats("units")?,
        statistics: statistics.try_into().map_err(|_| odd("statistics"))?,
        distances: floats("distances")?,
    };
    FamiliarityModel::new(state).map(Some).map_err(|error| error.to_string())
}
