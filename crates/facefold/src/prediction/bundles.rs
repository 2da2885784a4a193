//! Bundles, and the networks that their features come from.

use std::path::{Path, PathBuf};

use facefold_heads::Bundle;
use facefold_predict::{DEFAULT_BUNDLE, Predictor, default_bundle, trained_on_whole_pictures};
use facefold_vision::decode::Limits;

use crate::error::Result;
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

/// A predictor for named bundles, on the networks that the first one was trained with; without
/// bundles on those of `network`. Of `faces`, the bundles decide whether taps are needed.
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
    let faces = Faces { taps: Predictor::needs_taps(&bundles), ..faces };
    Ok(Predictor::new(network.extractor(faces, limits, progress)?, bundles)?)
}

/// Whether pictures are taken whole, without looking for a face: as asked, or because a bundle was
/// trained so, which is noted.
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
    asked || !trained_so.is_empty()
}

/// A file's name without directories and ending.
#[must_use]
pub fn file_stem(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
