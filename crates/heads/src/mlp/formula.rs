//! What a fitted network computes, as elementary steps.

use candle_core::{Result, Var};
use facefold_core::{HeadError, HeadParts};

use super::layers::{Dense, Norm};
use super::network::Network;
use super::norm::EPSILON;
use super::{Fitted, Form, read};
use crate::formula::{Formula, Operation, Value};
use crate::parts::backend;

/// Writes what the head of these parts computes.
pub(crate) fn write(
    parts: &HeadParts,
    formula: &mut Formula,
) -> std::result::Result<Value, HeadError> {
    let fitted = read(parts)?;
    let shares = fitted.write_shares(formula)?;
    Ok(fitted.telling.write_answer(shares, formula))
}

/// Writes what several heads tell together: the answer from the mean of their shares.
pub(crate) fn write_mean(
    members: &[Fitted],
    formula: &mut Formula,
) -> std::result::Result<Value, HeadError> {
    let shares = members.iter().map(|member| member.write_shares(formula));
    let shares = shares.collect::<std::result::Result<Vec<_>, _>>()?;
    let add = |sum, shares| formula.compute(Operation::Add, &[sum, shares]);
    let sum = shares.into_iter().reduce(add).unwrap_or(Value::FEATURES);
    let mean = formula.with(Operation::Multiply, sum, 1.0 / members.len() as f32);
    Ok(match members.first() {
        Some(first) => first.telling.write_answer(mean, formula),
        None => mean,
    })
}

impl Fitted {
    fn write_shares(&self, formula: &mut Formula) -> std::result::Result<Value, HeadError> {
        let features = self.features.write(formula);
        let outputs = self.network.write(features, formula)?;
        Ok(self.telling.write_shares(outputs, formula))
    }
}

impl Network {
    /// Appends the layers, which take standardised rows; gives the outputs, n x outputs.
    pub(super) fn write(
        &self,
        features: Value,
        formula: &mut Formula,
    ) -> std::result::Result<Value, HeadError> {
        self.layers(features, formula).map_err(backend("reading a trained network"))
    }

    fn layers(&self, features: Value, formula: &mut Formula) -> Result<Value> {
        let (mut at, mut width) = (features, self.width());
        for (index, layer) in self.hidden.iter().enumerate() {
            let name = format!("hidden.{index}");
            let Weights { mut weights, mut biases } = Weights::of(&layer.dense)?;
            let units = biases.len();
            at = match (self.form, &layer.norm) {
                (Form::Plain, norm) => {
                    if let Some(norm) = norm {
                        // Columns of weights are scaled as the units would be behind them.
                        let Scaling { scale, shift } = Scaling::of(norm)?;
                        for row in weights.chunks_exact_mut(units) {
                            row.iter_mut().zip(&scale).for_each(|(w, s)| *w *= s);
                        }
                        for ((bias, scale), shift) in biases.iter_mut().zip(scale).zip(shift) {
                            *bias = *bias * scale + shift;
                        }
                    }
                    let sums = formula.layer(&name, at, weights, biases);
                    formula.rectify(sums)
                }
                (Form::Residual, norm) => {
                    let mut block = at;
                    if let Some(norm) = norm {
                        let Scaling { scale, shift } = Scaling::of(norm)?;
                        let scale = formula.row(&format!("norm.{index}.scale"), scale);
                        let shift = formula.row(&format!("norm.{index}.shift"), shift);
                        block = formula.compute(Operation::Multiply, &[block, scale]);
                        block = formula.compute(Operation::Add, &[block, shift]);
                    }
                    let sums = formula.layer(&name, block, weights, biases);
                    let block = formula.rectify(sums);
                    if index > 0 && units == width {
                        formula.compute(Operation::Add, &[block, at])
                    } else {
                        block
                    }
                }
            };
            width = units;
        }
        let Weights { weights, biases } = Weights::of(&self.output)?;
        Ok(formula.layer("output", at, weights, biases))
    }
}

/// A linear layer's numbers; weights are inputs x units.
struct Weights {
    weights: Vec<f32>,
    biases: Vec<f32>,
}

impl Weights {
    fn of(dense: &Dense) -> Result<Self> {
        Ok(Self { weights: values(&dense.weight)?, biases: values(&dense.bias)? })
    }
}

/// A batch norm as it answers: scale x + shift.
struct Scaling {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Scaling {
    fn of(norm: &Norm) -> Result<Self> {
        let (gain, offset) = (values(&norm.gain)?, values(&norm.offset)?);
        let (mean, variance) = (values(&norm.mean)?, values(&norm.variance)?);
        let scale: Vec<f64> = (gain.iter().zip(&variance))
            .map(|(&gain, &variance)| f64::from(gain) / (f64::from(variance) + EPSILON).sqrt())
            .collect();
        let shift = (offset.iter().zip(&mean).zip(&scale))
            .map(|((&offset, &mean), scale)| (f64::from(offset) - f64::from(mean) * scale) as f32);
        Ok(Self {
            shift: shift.collect(),
            scale: scale.iter().map(|&scale| scale as f32).collect(),
        })
    }
}

fn values(variable: &Var) -> Result<Vec<f32>> {
    variable.flatten_all()?.to_vec1()
}
