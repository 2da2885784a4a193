//! Bundles, and the networks that their features come from.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use facefold_heads::Bundle;
use facefold_predict::{DEFAULT_BUNDLE, Predictor, default_bundle, trained_on_whole_pictures};
use facefold_vision::decode::Limits;

use crate::error::{Error, Result};
use crate::network::{Faces, NetworkOptions};
use crate::progress::Progress;

/// Reads the bundles of these files, each with the name that `name` gives it; the embedded one where
/// no file is named.
///
/// # Errors
/// If a file is no bundle.
pub fn load_bundles(
    paths: &[PathBuf],
    name: impl Fn(&Path) -> String,
) -> Result<Vec<(String, Bundle)>> {
    if paths.is_empty() {
        return Ok(vec![(DEFAULT_BUNDLE.to_owned(), default_bundle()?)]);
    }
    paths.iter().map(|path| Ok((name(path), Bundle::load(path)?))).collect()
}

/// The bundles of a server, by names that differ, and the model pack that their features come from: of these files,
/// or the embedded one; none where only a model pack is given, by which a server only embeds.
///
/// # Errors
/// A file that is no bundle, two of one name, or a model pack that is not that of the bundles.
pub fn served_bundles(
    paths: &[PathBuf],
    model: Option<&str>,
) -> Result<(String, Vec<(String, Bundle)>)> {
    if let Some(model) = model.filter(|_| paths.is_empty()) {
        return Ok((model.to_owned(), Vec::new()));
    }
    let bundles = load_bundles(paths, file_stem)?;
    let mut names = HashSet::new();
    if let Some((name, _)) = bundles.iter().find(|(name, _)| !names.insert(name)) {
        return Err(Error::options(format!("two bundles are called `{name}`: rename one")));
    }
    let trained = bundles.first().map_or_else(String::new, |(_, b)| b.extractor.model.clone());
    match model {
        Some(model) if model != trained => Err(Error::options(format!(
            "the bundle was trained on `{trained}`, and --model asks for `{model}`: leave it out"
        ))),
        _ => Ok((trained, bundles)),
    }
}

/// A predictor for named bundles, on the networks that the first one was trained with; without
/// bundles on those of `network`. Of `faces`, the bundles decide whether taps are needed; with
/// `aligned` any bundle takes aligned crops, and those that were trained on whole pictures take
/// nothing else.
///
/// # Errors
/// Networks that cannot be had, or a bundle that was trained with others.
///
/// ```no_run
/// use facefold::{Faces, NetworkOptions, load_bundles, predictor};
/// use facefold::vision::decode::Limits;
///
/// let bundles = load_bundles(&[], |path| path.display().to_string())?;
/// let network = NetworkOptions::default();
/// let predictor = predictor(bundles, &network, Faces::default(), Limits::default(), &())?;
/// for answer in predictor.predict("photo.jpg", &std::fs::read("photo.jpg")?)? {
///     println!("{:?} {:?}", answer.gender, answer.age);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn predictor(
    bundles: Vec<(String, Bundle)>,
    network: &NetworkOptions,
    faces: Faces,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<Predictor> {
    for (_, bundle) in &bundles {
        bundle.require_network()?;
    }
    let trained = bundles.first().map(|(_, bundle)| bundle.extractor.model.as_str());
    let network = network.of_model(trained.unwrap_or(&network.model));
    require_one_kind(&bundles)?;
    let aligned = faces.aligned;
    // A bundle belongs to networks with a detector or to such without, whatever the pictures are.
    let whole = if bundles.is_empty() { aligned } else { trained_whole(&bundles) };
    let faces = Faces { taps: Predictor::needs_taps(&bundles), aligned: whole, ..faces };
    let predictor = Predictor::new(network.extractor(faces, limits, progress)?, bundles)?;
    Ok(if aligned { predictor.of_aligned_crops() } else { predictor })
}

fn trained_whole(bundles: &[(String, Bundle)]) -> bool {
    !trained_on_whole_pictures(bundles).is_empty()
}

/// Refuses bundles trained on whole pictures next to those trained on detected faces.
fn require_one_kind(bundles: &[(String, Bundle)]) -> Result<()> {
    let whole = trained_on_whole_pictures(bundles);
    let of_faces = bundles.iter().find(|(name, _)| !whole.contains(&name.as_str()));
    match (whole.first(), of_faces) {
        (Some(whole), Some((of_faces, _))) => Err(Error::options(format!(
            "`{whole}` was trained on whole pictures as crops and `{of_faces}` on detected faces: \
             expected bundles of one kind; predict with one after the other"
        ))),
        _ => Ok(()),
    }
}

/// Whether pictures are taken whole, without looking for a face: as asked, or because a bundle was
/// trained so. What that means for the predictions is noted.
pub fn take_whole_pictures(
    bundles: &[(String, Bundle)],
    asked: bool,
    progress: &dyn Progress,
) -> bool {
    let trained_so = trained_on_whole_pictures(bundles);
    if !asked && !trained_so.is_empty() {
        let were = if trained_so.len() == 1 { "was" } else { "were" };
        progress.note(&format!(
            "note: `{}` {were} trained on aligned crops: no face is looked for, and every picture is \
             taken whole as one, whatever it shows; for photographs, extract without --aligned and \
             train anew",
            trained_so.join("`, `")
        ));
    }
    let others = bundles.iter().map(|(name, _)| name.as_str());
    let others: Vec<&str> = others.filter(|name| !trained_so.contains(name)).collect();
    if asked && !others.is_empty() {
        let were = if others.len() == 1 { "was" } else { "were" };
        progress.note(&format!(
            "note: `{}` {were} trained on faces that facefold detected and aligned: predictions, \
             intervals and familiarity hold for crops aligned in the same way, such as \
             `predict --crops` writes",
            others.join("`, `")
        ));
    }
    asked || !trained_so.is_empty()
}

/// A file's name without directories and ending.
#[must_use]
pub fn file_stem(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
