//! The embedding network in an ONNX graph: from crops to the features that heads see.

use facefold_heads::{Bundle, FeatureChoice};
use facefold_onnx::{Attribute, Graph, OnnxError};
use facefold_vision::align::CROP_SIDE;
use facefold_vision::extractor::PackNetworks;

use super::CROP;

/// Height and width of a crop.
pub const SIDE: usize = CROP_SIDE;

/// Crops that a prediction uses: the mirrored one too where the heads were trained on it, as in
/// [`crate::Predictor`].
pub fn crops(bundle: &Bundle) -> usize {
    1 + usize::from(bundle.mirrored)
}

/// Appends all from the crops, RGB values 0 to 255, to the features; gives their name. They are
/// n x d, or 2 n x d with the mirrored crops behind the others.
pub fn write(
    graph: &mut Graph,
    networks: &PackNetworks,
    bundle: &Bundle,
) -> Result<String, OnnxError> {
    let half = graph.floats("crop/half", &[1], &[127.5]);
    let centred = graph.node("Sub", &[CROP, &half], "crop/centred", &[]);
    let mut pixels = graph.node("Div", &[&centred, &half], "crop/pixels", &[]);
    if crops(bundle) > 1 {
        let [last, before_first, columns, back] =
            [("last", -1), ("before_first", i64::MIN + 1), ("columns", 3), ("back", -1)]
                .map(|(name, value)| graph.integers(&format!("crop/{name}"), &[value]));
        let inputs = [pixels.as_str(), &last, &before_first, &columns, &back];
        let mirrored = graph.node("Slice", &inputs, "crop/mirrored", &[]);
        let axis = ("axis", Attribute::Integer(0));
        pixels = graph.node("Concat", &[&pixels, &mirrored], "crop/both", &[axis]);
    }
    let outputs = graph.network(&networks.embedding, &pixels)?;
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    // A network has the outputs `embedding` and, where requested, `taps`.
    let features = bundle.features;
    let seen = match features {
        FeatureChoice::Embedding => outputs.get(..1),
        FeatureChoice::Taps => outputs.get(1..2),
        FeatureChoice::Both => outputs.get(..2),
    };
    let seen = seen.ok_or_else(|| {
        OnnxError::Graph(format!(
            "network `{}` gives {} outputs and the heads see `{features}`: load it with taps",
            networks.embedding.name,
            outputs.len()
        ))
    })?;
    Ok(graph.node("Concat", seen, super::FEATURES, &[("axis", Attribute::Integer(1))]))
}
