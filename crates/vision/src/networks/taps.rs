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
        "network `{network}` has no taps: expected residual sums and a flattened map behind them; \
         extract without taps"
    )]
    Structure {
        /// The network's name.
        network: String,
    },
}

/// Of the smallest map sizes so many are tapped.
const SIZES: usize = 3;

/// Residual sums tapped of a map size, the last ones.
const SUMS: usize = 6;

/// The maps that tell age and gender, in the order of the network: the last residual sums, up to
/// six, of each of the three smallest map sizes, and the widest map between the last of them and the
/// flattening.
///
/// For `w600k_mbf` these are 128x28x28 four times, 256x14x14 six times, 256x7x7 twice and 512x7x7,
/// so that [`add_backbone_taps`] gives 6,144 moments and 3,584 row means; for `IResNet-50`
/// 128x28x28 four times, 256x14x14 six times and 512x7x7 four times.
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
    let of_one_size: Vec<&[ValueId]> = sums.chunk_by(|a, b| side(a) == side(b)).collect();
    let mut maps = Vec::new();
    for sums in &of_one_size[of_one_size.len().saturating_sub(SIZES)..] {
        maps.extend_from_slice(&sums[sums.len().saturating_sub(SUMS)..]);
    }
    let flattening = made_by(|op| matches!(op, Op::Flatten)).next_back().ok_or_else(structure)?;
    // `max_by_key` gives the last of equals: behind the activation, not before it.
    let widest = (last.0 + 1..flattening.0)
        .map(ValueId)
        .max_by_key(|value| shapes[value.0].channels)
        .ok_or_else(structure)?;
    maps.push(widest);
    Ok(maps)
}

/// Adds an output `taps`: the moments of the [`backbone_taps`], and of the last of them the mean of
/// each row, so that brow, eyes, mouth and chin stay apart.
///
/// # Errors
/// A network of another kind.
pub fn add_backbone_taps(network: &mut Network) -> Result<(), NoTaps> {
    let maps = backbone_taps(network)?;
    network.add_taps(&maps, &maps[maps.len() - 1..]);
    Ok(())
}
