//! `facefold explain`: occlusion maps of single pictures, and their means.

use std::fmt::Write as _;

use anyhow::Result;
use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use facefold::prediction::{
    ExplainOptions, ExplainedPictures, RejectedPicture, explain_pictures, inputs, require_outside,
    take_whole_pictures,
};
use facefold::{Faces, Progress as _, load_bundles, predictor, threads};
use facefold_core::Task;
use facefold_core::text::printable;
use facefold_predict::trained_on_whole_pictures;
use facefold_vision::decode::Limits;

use crate::arguments::ExplainArguments;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::progress::Terminal;

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
    output.answer(&explained, || text(&explained))?;
    if progress.is_cancelled() {
        return Ok(Outcome::Interrupted);
    }
    explained.unreadable.require_none(inputs.len(), &progress)?;
    let is_rejected = arguments.strict && !explained.rejected.is_empty();
    Ok(if is_rejected { Outcome::Rejected } else { Outcome::Done })
}

fn text(explained: &ExplainedPictures) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["picture", "predicted", "most that a patch takes", "at", "map"]);
    for entry in explained.pictures.iter().chain(&explained.means) {
        let is_class = entry.task != Task::Age;
        let scale = if is_class { 100.0 } else { 1.0 };
        let unit = if is_class { "points" } else { "years" };
        let mean = |count: usize| format!("mean of {count}");
        let answer = match (&entry.label, entry.prediction) {
            (Some(label), Some(share)) => format!("{label} {:.0} %", 100.0 * share),
            (Some(label), None) => format!("{}: {label}", entry.task),
            (None, Some(years)) => format!("{years:.1} years"),
            (None, None) => entry.task.to_string(),
        };
        let [x, y] = entry.map.max_at;
        table.add_row([
            entry
                .path
                .as_ref()
                .map_or_else(|| mean(entry.pictures), |path| printable(path).into_owned()),
            answer,
            format!("{:.1} {unit}", scale * entry.map.max),
            format!("{x}, {y}"),
            entry.file.clone().unwrap_or_default(),
        ]);
    }
    let mut text = table.to_string();
    for RejectedPicture { path, status, detail } in &explained.rejected {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{}: {status}: {detail}", printable(path));
    }
    text
}
