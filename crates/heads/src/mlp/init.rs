//! Warm start: initialises a network from a trained head instead of random weights.

use facefold_core::{HeadError, StateDict, TargetKind};

use super::model::Network;
use super::{FittedSettings, MULTI_TASK_NAME, Mlp, NAME, RESIDUAL_NAME};
use crate::features::Standardiser;
use crate::state_dict::{Reader, Stored, backend};

/// A trained head to start from: its network, and the scaling that its weights were fitted to.
///
/// The scaling is that of the head and not fitted again: under another one the same weights would
/// predict something else.
pub(super) struct Start {
    pub(super) features: Standardiser,
    network: Network,
    target: TargetKind,
}

impl Start {
    /// The head to start from, if `head` has one, for features of this width.
    pub(super) fn of(head: &Mlp, width: usize) -> Result<Option<Self>, HeadError> {
        let Some(state) = &head.start else { return Ok(None) };
        if ![NAME, MULTI_TASK_NAME, RESIDUAL_NAME].contains(&state.kind.as_str()) {
            return Err(HeadError::Setting(format!(
                "an MLP can start from a trained `{NAME}`, `{MULTI_TASK_NAME}` or `{RESIDUAL_NAME}`, \
                 found a `{}`",
                state.kind
            )));
        }
        let reader = Reader(state);
        let Stored { target, unit_columns, settings, .. }: Stored<FittedSettings> =
            reader.stored()?;
        let features = Standardiser::restore(&reader, unit_columns)?;
        let same = |name: &str, ours: String, theirs: String| {
            if ours == theirs {
                return Ok(());
            }
            Err(HeadError::Setting(format!(
                "the head to start from has {name} {theirs}, this one {ours}: they must be the same"
            )))
        };
        let (ours, theirs) = (&head.options, &settings.options);
        same("features", width.to_string(), features.width().to_string())?;
        same(
            "the architecture",
            format!("{:?}", head.architecture),
            format!("{:?}", settings.architecture),
        )?;
        same(
            "mlp.hidden_layer_sizes",
            format!("{:?}", ours.hidden_layer_sizes),
            format!("{:?}", theirs.hidden_layer_sizes),
        )?;
        same("mlp.batch_norm", ours.batch_norm.to_string(), theirs.batch_norm.to_string())?;
        let unit = |columns: Option<(usize, usize)>| format!("{columns:?}");
        same("unit_columns", unit(head.unit_columns), unit(unit_columns))?;
        let outputs = match target {
            TargetKind::Classes { count } => count,
            TargetKind::Regression => theirs.age_loss.outputs(),
        };
        let network = Network::restore(&reader, settings.architecture, theirs, width, outputs)?;
        Ok(Some(Self { features, network, target }))
    }

    /// Copies the trained weights into a network: its hidden layers, and its first outputs where
    /// both predict the same kind of target. Gives a note for the log.
    pub(super) fn copy_to(
        &self,
        network: &Network,
        target: TargetKind,
    ) -> Result<String, HeadError> {
        let failed = backend("copying a trained network");
        let outputs = target == self.target && self.network.outputs() <= network.outputs();
        network.start_from(&self.network, outputs).map_err(failed)?;
        let drawn = if outputs {
            ""
        } else {
            "; its outputs are of another task, and initialised at random"
        };
        Ok(format!("started from a trained head, whose scaling of the features is kept{drawn}"))
    }
}

/// A hash of the head, for reports and to distinguish fits.
pub(super) fn hash(state: &StateDict) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("facefold 2026 trained head v1");
    hasher.update(state.kind.as_bytes());
    hasher.update(state.config.to_string().as_bytes());
    for (name, tensor) in &state.tensors {
        hasher.update(name.as_bytes());
        for value in tensor {
            hasher.update(&value.to_le_bytes());
        }
    }
    hasher.finalize().to_hex()[..32].to_owned()
}
