//! Which maps of an embedding network are worth keeping beside its embedding.

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
        "network `{network}` has no taps: expected two residual sums at each of its two smallest \
         map sizes and a flattened map behind them; extract without taps"
    )]
    Structure {
        /// The network's name.
        network: String,
    },
}

/// The five late maps whose moments tell age and gender: the last two residual sums of each of
/// the two smallest map sizes, and the widest map between the last of them and the flattening.
///
/// For `w600k_mbf` these are 256x14x14 twice, 256x7x7 twice and 512x7x7, so that
/// [`Network::add_taps`] gives 3,072 values; for an IResNet 256x14x14 twice and 512x7x7 three
/// times.
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
    let side = |value: &ValueId| shapes[value.0].height;
    let is_late = |sum: &ValueId| side(sum) == side(&last);
    let first_late = sums.iter().position(is_late).ok_or_else(structure)?;
    let (earlier, late) = sums.split_at(first_late);
    let &[.., c, d] = late else { return Err(structure()) };
    let &[.., a, b] = earlier else { return Err(structure()) };
    let flattening = made_by(|op| matches!(op, Op::Flatten)).next_back().ok_or_else(structure)?;
    if side(&a) != side(&b) || last >= flattening {
        return Err(structure());
    }
    // `max_by_key` gives the last of equals: behind the activation, not before it.
    let widest = (last.0 + 1..flattening.0)
        .map(ValueId)
        .max_by_key(|value| shapes[value.0].channels)
        .ok_or_else(structure)?;
    Ok(vec![a, b, c, d, widest])
}
