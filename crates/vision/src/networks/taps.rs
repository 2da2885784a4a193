//! Backbone taps: intermediate feature maps of an embedding network that are pooled as additional
//! features.

use facefold_engine::{InvalidNetwork, Network, Op, ValueId};

use super::CROP_SIDE;

/// A network without the maps that [`backbone_taps`] looks for.
#[derive(Debug, thiserror::Error)]
pub enum NoTaps {
    /// The layers do not fit a crop.
    #[error(transparent)]
    Network(#[from] InvalidNetwork),
    /// It is no residual network.
    #[error(
        "network `{network}` has no taps: expected residual sums and a flattened map behind them; \
         extract without taps"
    )]
    Structure {
        /// The network's name.
        network: String,
    },
}

/// Residual sums tapped, the last ones.
const SUMS: usize = 2;

/// The maps whose moments predict age and gender on pictures from elsewhere too, in the order of
/// the network: the last two residual sums, and the widest map between them and the flattening.
///
/// For `w600k_mbf` these are 256x7x7 twice and 512x7x7, so that [`add_backbone_taps`] gives 2,048
/// values; for `IResNet-50` 512x7x7 three times, 3,072 values. Earlier maps gain 0.07 years within
/// a data set and lose years on others: they carry how a picture was made (`results/features.md`).
///
/// # Errors
/// A network of another kind.
pub fn backbone_taps(network: &Network) -> Result<Vec<ValueId>, NoTaps> {
    let shapes = network.shapes(CROP_SIDE, CROP_SIDE)?;
    let structure = || NoTaps::Structure { network: network.name.clone() };
    let made_by = |wanted: fn(&Op) -> bool| {
        let layers = network.layers.iter().enumerate();
        layers.filter(move |(_, layer)| wanted(&layer.op)).map(|(index, _)| ValueId(index + 1))
    };
    let sums: Vec<ValueId> = made_by(|op| matches!(op, Op::Add)).collect();
    let last = *sums.last().ok_or_else(structure)?;
    let mut maps = sums[sums.len().saturating_sub(SUMS)..].to_vec();
    let flattening = made_by(|op| matches!(op, Op::Flatten)).next_back().ok_or_else(structure)?;
    // `max_by_key` gives the last of equals: behind the activation, not before it.
    let widest = (last.0 + 1..flattening.0)
        .map(ValueId)
        .max_by_key(|value| shapes[value.0].channels)
        .ok_or_else(structure)?;
    maps.push(widest);
    Ok(maps)
}

/// Adds an output `taps`: the mean and the standard deviation over space of each channel of the
/// [`backbone_taps`].
///
/// # Errors
/// A network of another kind.
pub fn add_backbone_taps(network: &mut Network) -> Result<(), NoTaps> {
    let maps = backbone_taps(network)?;
    network.add_taps(&maps);
    Ok(())
}
