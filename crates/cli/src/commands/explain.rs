//! `facefold explain`: occlusion maps of single pictures, and their means.

use anyhow::Result;
use facefold::prediction::{
    ExplainOptions, explain_pictures, inputs, require_outside, take_whole_pictures,
};
use facefold::{Faces, Progress as _, load_bundles, predictor, threads};
use facefold_predict::trained_on_whole_pictures;
use facefold_terminal::{Output, Terminal};
use facefold_vision::decode::Limits;

use crate::arguments::ExplainArguments;
use crate::outcome::Outcome;

/// Runs `explain`.
///
/// # Errors
/// If a bundle cannot be read or was made with another network, or a map cannot be written.
pub fn run(arguments: &ExplainArguments, output: Output) -> Result<Outcome> {
    require_outside("--out", &arguments.out, &arguments.input)?;
    let progress = Terminal::default();
    let bundles = load_bundles(&arguments.bundle, |path| path.display().to_string())?;
    let options = ExplainOptions {
        out: arguments.out.clone(),
        mean_only: arguments.mean_only,
        aligned: take_whole_pictures(&bundles, arguments.aligned, &progress),
        // Only JSON has them.
        keep_values: output.is_json(),
        threads: threads(arguments.run.threads),
    };
    let aligned = !trained_on_whole_pictures(&bundles).is_empty();
    let faces = Faces { aligned, ..Faces::default() };
    let network = arguments.run.options();
    let predictor = predictor(bundles, &network, faces, Limits::default(), &progress)?;
    let inputs = inputs(&arguments.input, std::io::stdin().lock(), &progress)?;
    progress.listen()?;
    let explained = explain_pictures(&inputs, &predictor, &options, &progress)?;
    progress.finish();
    output.answer(&explained, || explained.to_string())?;
    if progress.is_cancelled() {
        return Ok(Outcome::Interrupted);
    }
    explained.unreadable.require_none(inputs.len(), &progress)?;
    let is_rejected = arguments.strict && !explained.rejected.is_empty();
    Ok(if is_rejected { Outcome::Rejected } else { Outcome::Done })
}
