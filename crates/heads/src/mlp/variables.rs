//! Where a network's variables come from: backends of candle-nn's `VarBuilder` that draw initial
//! values or take those of a state dict, and keep them in a `VarMap`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Error, Result, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder, VarMap};
use facefold_core::HeadError;
use facefold_core::rng::Rng;
use rand::Rng as _;

use crate::state_dict::Reader;

/// Initial values by a generator of ours: those of candle-nn have no seed on the CPU.
pub(super) struct Initialised {
    pub(super) generator: Mutex<Rng>,
    pub(super) variables: VarMap,
}

/// The values of a state dict.
pub(super) struct Loaded<'a, 'b> {
    pub(super) reader: &'a Reader<'b>,
    pub(super) variables: VarMap,
}

/// The variables of a map, by name.
pub(super) fn named(variables: &VarMap) -> MutexGuard<'_, HashMap<String, Var>> {
    variables.data().lock().unwrap_or_else(PoisonError::into_inner)
}

/// A builder of f32 variables on the CPU.
pub(super) fn builder<'a>(backend: impl SimpleBackend + 'a) -> VarBuilder<'a> {
    VarBuilder::from_backend(Box::new(backend), DType::F32, Device::Cpu)
}

fn keep(variables: &VarMap, name: &str, values: Vec<f32>, shape: Shape) -> Result<Tensor> {
    let variable = Var::from_vec(values, shape, &Device::Cpu)?;
    let tensor = variable.as_tensor().clone();
    named(variables).insert(name.to_owned(), variable);
    Ok(tensor)
}

fn unshaped(name: &str) -> Error {
    Error::Msg(format!("the variable `{name}` was asked for without its shape"))
}

impl SimpleBackend for Initialised {
    fn get(&self, shape: Shape, name: &str, init: Init, _: DType, _: &Device) -> Result<Tensor> {
        let count = shape.elem_count();
        let values = match init {
            Init::Const(value) => vec![value as f32; count],
            Init::Uniform { lo, up } => {
                let (low, high) = (lo as f32, up as f32);
                let mut generator = self.generator.lock().unwrap_or_else(PoisonError::into_inner);
                (0..count).map(|_| generator.random_range(low..high)).collect()
            }
            Init::Randn { .. } | Init::Kaiming { .. } => {
                return Err(Error::Msg(format!(
                    "the variable `{name}` has no such initial values"
                )));
            }
        };
        keep(&self.variables, name, values, shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        Err(unshaped(name))
    }

    fn contains_tensor(&self, _name: &str) -> bool {
        true
    }
}

impl SimpleBackend for Loaded<'_, '_> {
    fn get(&self, shape: Shape, name: &str, _: Init, _: DType, _: &Device) -> Result<Tensor> {
        let values = match *shape.dims() {
            [rows, columns] => {
                let matrix = self.reader.matrix(name, (Some(rows), Some(columns)));
                matrix.map(|matrix| matrix.iter().copied().collect())
            }
            _ => self.reader.vector(name, Some(shape.elem_count())),
        };
        let values = values.map_err(|error| match error {
            HeadError::Corrupt(text) => Error::Msg(text),
            other => Error::Msg(other.to_string()),
        })?;
        keep(&self.variables, name, values, shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        Err(unshaped(name))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.reader.0.tensors.contains_key(name)
    }
}
