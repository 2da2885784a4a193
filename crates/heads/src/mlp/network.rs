//! The network: its layers, and the forward passes for training and prediction.

use candle_core::{Device, Result, Tensor, Var};
use facefold_core::HeadError;
use facefold_core::rng::Rng;
use ndarray::{ArrayD, IxDyn};

use super::layers::{Dense, Initialised, Loaded, Norm, Pass, Source, drop_units};
use super::optimizer::Parameter;
use super::product::Shared;
use super::{Architecture, MlpOptions};
use crate::state_dict::{Reader, Tensors, backend, multiplier};

#[cfg(test)]
thread_local! {
    /// Rows of each forward pass for prediction on this thread.
    pub(crate) static PASSES: std::cell::RefCell<Vec<usize>> = const {
        std::cell::RefCell::new(Vec::new())
    };
}

#[derive(Debug)]
pub(super) struct Hidden {
    pub(super) dense: Dense,
    pub(super) norm: Option<Norm>,
}

/// A multi-layer perceptron.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) architecture: Architecture,
    dropout: f32,
    pub(super) hidden: Vec<Hidden>,
    pub(super) output: Dense,
    width: usize,
    outputs: usize,
    multiplier: Shared,
}

impl Network {
    /// A network with randomly initialised weights.
    pub(super) fn draw(
        architecture: Architecture,
        options: &MlpOptions,
        width: usize,
        outputs: usize,
        generator: &mut Rng,
    ) -> std::result::Result<Self, HeadError> {
        Self::build(architecture, options, width, outputs, &mut Initialised(generator))
    }

    /// A network from a store.
    pub(super) fn restore(
        reader: &Reader<'_>,
        architecture: Architecture,
        options: &MlpOptions,
        width: usize,
        outputs: usize,
    ) -> std::result::Result<Self, HeadError> {
        Self::build(architecture, options, width, outputs, &mut Loaded(reader))
    }

    fn build(
        architecture: Architecture,
        options: &MlpOptions,
        width: usize,
        outputs: usize,
        source: &mut impl Source,
    ) -> std::result::Result<Self, HeadError> {
        let mut inputs = width;
        let mut hidden = Vec::with_capacity(options.hidden_layer_sizes.len());
        for (index, &units) in options.hidden_layer_sizes.iter().enumerate() {
            let dense = source.dense(&format!("hidden.{index}"), inputs, units)?;
            // A residual block normalises its input, and the first one's is standardised.
            let normalised = match architecture {
                Architecture::Plain => Some(units),
                Architecture::Residual if index > 0 => Some(inputs),
                Architecture::Residual => None,
            };
            let norm = match normalised.filter(|_| options.batch_norm) {
                Some(width) => Some(source.norm(&format!("norm.{index}"), width)?),
                None => None,
            };
            hidden.push(Hidden { dense, norm });
            inputs = units;
        }
        let output = source.dense("output", inputs, outputs)?;
        let multiplier = Shared::new(multiplier()?);
        Ok(Self {
            architecture,
            dropout: options.dropout,
            hidden,
            output,
            width,
            outputs,
            multiplier,
        })
    }

    /// The same network with no more than its first outputs.
    pub(super) fn first_outputs(mut self, outputs: usize) -> Result<Self> {
        if outputs < self.outputs {
            let first = |variable: &Var, dimension| {
                Var::from_tensor(&variable.narrow(dimension, 0, outputs)?.contiguous()?)
            };
            self.output.weight = first(&self.output.weight, 1)?;
            self.output.bias = first(&self.output.bias, 0)?;
            self.outputs = outputs;
        }
        Ok(self)
    }

    /// Adds a constant to each output.
    pub(super) fn add_to_output_bias(&self, values: &[f32]) -> std::result::Result<(), HeadError> {
        let bias = &self.output.bias;
        Tensor::from_slice(values, bias.shape(), bias.device())
            .and_then(|values| bias.set(&(bias.as_detached_tensor() + values)?))
            .map_err(backend("adjusting the output layer"))
    }

    /// Number of features.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Number of outputs.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Everything that training moves.
    pub(super) fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        for Dense { weight, bias, gradient_buffer } in
            self.hidden.iter().map(|layer| &layer.dense).chain([&self.output])
        {
            parameters.push(Parameter {
                variable: weight.clone(),
                decays: true,
                gradient_buffer: Some(gradient_buffer.clone()),
            });
            parameters.push(Parameter {
                variable: bias.clone(),
                decays: false,
                gradient_buffer: None,
            });
        }
        for norm in self.hidden.iter().filter_map(|layer| layer.norm.as_ref()) {
            for (variable, gradient_buffer) in
                [&norm.gamma, &norm.beta].into_iter().zip(&norm.gradient_buffers)
            {
                parameters.push(Parameter {
                    variable: variable.clone(),
                    decays: false,
                    gradient_buffer: Some(gradient_buffer.clone()),
                });
            }
        }
        parameters
    }

    /// Outputs (rows x outputs) for training, through which gradients flow; moves the running
    /// statistics of the batch norms.
    pub(super) fn train(&self, features: &Tensor, generator: &mut Rng) -> Result<Tensor> {
        self.forward(features, &mut Pass::Training(generator))
    }

    /// Outputs, row by row, for standardised rows that are laid out one after the other.
    pub(super) fn predict(&self, rows: Vec<f32>) -> std::result::Result<Vec<f32>, HeadError> {
        self.answer_in(rows, &mut Pass::Prediction)
    }

    /// The same with hidden units dropped, the same ones for all rows.
    pub(super) fn predict_with_dropout(
        &self,
        rows: Vec<f32>,
        generator: &mut Rng,
    ) -> std::result::Result<Vec<f32>, HeadError> {
        self.answer_in(rows, &mut Pass::PredictionWithDropout(generator))
    }

    fn answer_in(
        &self,
        rows: Vec<f32>,
        pass: &mut Pass<'_>,
    ) -> std::result::Result<Vec<f32>, HeadError> {
        #[cfg(test)]
        PASSES.with_borrow_mut(|passes| passes.push(rows.len() / self.width));
        let failed = backend("predicting with an MLP");
        let shape = (rows.len() / self.width, self.width);
        Tensor::from_vec(rows, shape, &Device::Cpu)
            .and_then(|features| self.forward(&features, pass))
            .and_then(|outputs| outputs.flatten_all()?.to_vec1())
            .map_err(&failed)
    }

    fn forward(&self, features: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let multiplier = &self.multiplier;
        let mut at = features.clone();
        for (index, Hidden { dense, norm }) in self.hidden.iter().enumerate() {
            at = match self.architecture {
                Architecture::Plain => {
                    let product = dense.product(&at, index == 0, multiplier)?;
                    if let Some(norm) = norm {
                        norm.forward(&product, Some(&dense.bias), true, self.dropout, pass)?
                    } else {
                        let units = product.broadcast_add(&dense.bias)?.relu()?;
                        drop_units(&units, self.dropout, pass)?
                    }
                }
                Architecture::Residual => {
                    let dropout = if index > 0 { self.dropout } else { 0.0 };
                    let block = match norm {
                        Some(norm) => norm.forward(&at, None, false, dropout, pass)?,
                        None => drop_units(&at, dropout, pass)?,
                    };
                    let block = dense.forward(&block, index == 0, multiplier)?.relu()?;
                    if index > 0 && block.dims() == at.dims() { (block + at)? } else { block }
                }
            };
        }
        self.output.forward(&at, self.hidden.is_empty(), multiplier)
    }

    /// Adds the network's numbers to a head's tensors.
    pub(super) fn store(&self, tensors: &mut Tensors) {
        for (name, variable) in self.named() {
            // The tensor is f32 and lies in main memory, so reading it cannot fail.
            let values = variable.flatten_all().and_then(|flat| flat.to_vec1());
            let array = ArrayD::from_shape_vec(IxDyn(variable.dims()), values.unwrap_or_default());
            tensors.insert(name, array.unwrap_or_default());
        }
    }

    /// Copies all numbers from another network of the same shape.
    pub(super) fn copy_from(&self, other: &Self) -> Result<()> {
        for ((_, variable), (_, source)) in self.named().into_iter().zip(other.named()) {
            variable.set(&source.as_detached_tensor())?;
        }
        Ok(())
    }

    /// Copies the hidden layers of a network with the same ones, and, if asked, its outputs over
    /// the first of these.
    pub(super) fn start_from(&self, other: &Self, outputs: bool) -> Result<()> {
        for ((name, variable), (_, source)) in self.named().into_iter().zip(other.named()) {
            let source = source.as_detached_tensor();
            let last = variable.rank() - 1;
            let (own, given) = (variable.dim(last)?, source.dim(last)?);
            if !name.starts_with("output.") || own == given && outputs {
                variable.set(&source)?;
            } else if outputs {
                let rest = variable.narrow(last, given, own - given)?;
                variable.set(&Tensor::cat(&[&source, &rest], last)?)?;
            }
        }
        Ok(())
    }

    fn named(&self) -> Vec<(String, &Var)> {
        let mut named = Vec::new();
        for (index, layer) in self.hidden.iter().enumerate() {
            named.push((format!("hidden.{index}.weight"), &layer.dense.weight));
            named.push((format!("hidden.{index}.bias"), &layer.dense.bias));
            if let Some(norm) = &layer.norm {
                named.push((format!("norm.{index}.gamma"), &norm.gamma));
                named.push((format!("norm.{index}.beta"), &norm.beta));
                named.push((format!("norm.{index}.mean"), &norm.mean));
                named.push((format!("norm.{index}.variance"), &norm.variance));
            }
        }
        named.push(("output.weight".to_owned(), &self.output.weight));
        named.push(("output.bias".to_owned(), &self.output.bias));
        named
    }
}
