//! Occlusion maps of single pictures, and their means.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use facefold_core::text::printable;
use facefold_core::{Rejection, Task, files};
use facefold_predict::occlusion::{self, MapSummary, overlay_with_text};
use facefold_predict::{
    ExplainError, Explanation, FaceExplained, FaceSelector, MeanMap, Predictor,
};
use fs_err as fs;
use image::{ImageFormat, RgbImage};
use serde::Serialize;

use super::inputs::{Input, Unreadable, names, picture_names, shortened};
use crate::error::{Context, Result};
use crate::parallel::{Parallel, locked};
use crate::progress::{Progress, Stage};

/// What is said of a picture or a mean.
#[derive(Debug, Clone, Serialize)]
pub struct MapEntry {
    /// The picture; none for a mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Number of pictures that it is the mean of.
    pub pictures: usize,
    /// The bundle.
    pub bundle: String,
    /// The task.
    pub task: Task,
    /// The predicted class; in a mean none where it is over all of them.
    pub label: Option<String>,
    /// Probability of the predicted class, or years; none for a mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction: Option<f32>,
    /// The map.
    #[serde(flatten)]
    pub map: MapSummary,
    /// The picture that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// A picture that could not be explained.
#[derive(Debug, Clone, Serialize)]
pub struct RejectedPicture {
    /// The picture.
    pub path: String,
    /// The reason of the rejection.
    pub status: &'static str,
    /// What exactly was wrong with it.
    pub detail: String,
}

/// The occlusion maps of many pictures.
#[derive(Debug, Serialize)]
pub struct ExplainedPictures {
    /// Side of a patch, in pixels of the crop of 112 x 112.
    pub patch: usize,
    /// The step to the next patch.
    pub step: usize,
    /// A map a picture, bundle and task.
    pub pictures: Vec<MapEntry>,
    /// The means of the maps over all pictures, and over those of each predicted class.
    pub means: Vec<MapEntry>,
    /// Pictures without a map.
    pub rejected: Vec<RejectedPicture>,
    /// Pictures that could not be opened.
    #[serde(skip)]
    pub unreadable: Unreadable,
}

impl fmt::Display for ExplainedPictures {
    /// A table of the maps, and a line for each picture without one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY);
        table.set_header(["picture", "predicted", "most that a patch takes", "at", "map"]);
        for entry in self.pictures.iter().chain(&self.means) {
            let is_class = entry.task != Task::Age;
            let scale = if is_class { 100.0 } else { 1.0 };
            let unit = if is_class { "points" } else { "years" };
            let mean = |count: usize| format!("mean of {count}");
            let answer = match (&entry.label, entry.prediction) {
                (Some(label), Some(share)) => {
                    format!("{} {:.0} %", printable(label), 100.0 * share)
                }
                (Some(label), None) => format!("{}: {}", entry.task, printable(label)),
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
                entry.file.as_deref().map(printable).unwrap_or_default().into_owned(),
            ]);
        }
        write!(f, "{table}")?;
        for RejectedPicture { path, status, detail } in &self.rejected {
            write!(f, "\n{}: {status}: {detail}", printable(path))?;
        }
        Ok(())
    }
}

/// Where maps go, and how they are made.
#[derive(Debug, Clone)]
pub struct ExplainOptions {
    /// Directory of the maps: `NAME-TASK.png`, and the means `mean-TASK.png` and
    /// `mean-TASK-CLASS.png`; below a directory a bundle, where there are several.
    pub out: PathBuf,
    /// Write only the means.
    pub mean_only: bool,
    /// Take whole pictures as aligned crops.
    pub aligned: bool,
    /// Keep the values of every map, which are many.
    pub keep_values: bool,
    /// Threads, at least one.
    pub threads: usize,
}

/// By bundle, task and predicted class (empty: over all of them), in that order.
type Means = BTreeMap<(usize, Task, String), MeanMap>;

/// Covers each picture's face patch by patch, and writes how far each prediction moves as a map over
/// the face; then the means of the maps. Where it is cancelled, of the pictures until then.
///
/// # Errors
/// If the extractor or a head fails, or a map cannot be written.
pub fn explain_pictures(
    inputs: &[Input],
    predictor: &Predictor,
    options: &ExplainOptions,
    progress: &dyn Progress,
) -> Result<ExplainedPictures> {
    let paths: Vec<String> = predictor.cards().into_iter().map(|card| card.name).collect();
    let maps = Maps {
        directory: &options.out,
        pictures: picture_names(inputs, &["mean"]),
        bundles: names(paths.iter().map(Path::new), &[]),
        paths,
    };
    let which = FaceSelector { face_index: 0, aligned: options.aligned };
    let means: Mutex<Means> = Mutex::default();
    let work =
        |index: usize, input: &Input| -> Result<Result<Vec<MapEntry>, (String, Rejection)>> {
            let explained = input.read().map_err(ExplainError::Rejected);
            match explained.and_then(|bytes| predictor.explain(&bytes, which)) {
                Ok(FaceExplained { explanations, .. }) => {
                    maps.collect(&explanations, &mut locked(&means));
                    let write = |one| maps.picture(index, &input.name(), one, options.mean_only);
                    Ok(Ok(explanations.iter().map(write).collect::<Result<Vec<MapEntry>>>()?))
                }
                Err(ExplainError::Rejected(rejection)) => Ok(Err((input.name(), rejection))),
                Err(ExplainError::Failed(error)) => Err(error.into()),
            }
        };
    let mut explained = ExplainedPictures {
        patch: occlusion::PATCH,
        step: occlusion::STEP,
        pictures: Vec::new(),
        means: Vec::new(),
        rejected: Vec::new(),
        unreadable: Unreadable::default(),
    };
    let parallel = Parallel { threads: options.threads, stage: Stage::Explaining, progress };
    parallel.for_each(inputs, work, |outcome| {
        match outcome {
            Ok(mut entries) => {
                if !options.keep_values {
                    for entry in &mut entries {
                        entry.map.grid = Vec::new();
                    }
                }
                explained.pictures.extend(entries);
            }
            Err((path, rejection)) => {
                explained.unreadable.see(&path, &rejection);
                explained.rejected.push(rejected(path, rejection));
            }
        }
        Ok(())
    })?;
    explained.means = maps.means(&locked(&means))?;
    Ok(explained)
}

fn rejected(path: String, rejection: Rejection) -> RejectedPicture {
    RejectedPicture { path, status: rejection.reason.as_str(), detail: rejection.detail }
}

/// Where maps are written, and under which names.
struct Maps<'a> {
    directory: &'a Path,
    pictures: Vec<String>,
    /// Names of the bundles in file names.
    bundles: Vec<String>,
    /// The bundles as they were given.
    paths: Vec<String>,
}

impl Maps<'_> {
    /// Writes a picture's map, if wanted, and says what is on it.
    fn picture(
        &self,
        index: usize,
        path: &str,
        one: &Explanation,
        only_mean: bool,
    ) -> Result<MapEntry> {
        let mut entry = MapEntry {
            path: Some(path.to_owned()),
            pictures: 1,
            bundle: one.bundle.clone(),
            task: one.task,
            label: one.label.clone(),
            prediction: Some(one.prediction),
            map: one.map.summary(),
            file: None,
        };
        if !only_mean {
            let name = self.pictures.get(index).map_or("picture", String::as_str);
            let file = self.file(name, self.place(&one.bundle), one.task, "");
            let map = overlay_with_text(&one.map, &one.words(), &one.legend());
            entry.file = Some(Self::write(&file, &map)?);
        }
        Ok(entry)
    }

    /// Adds a picture's maps to the means: over all, and over those of its predicted class.
    fn collect(&self, explanations: &[Explanation], means: &mut Means) {
        for one in explanations {
            let key = |label: &str| (self.place(&one.bundle), one.task, label.to_owned());
            means.entry(key("")).or_default().add(&one.map);
            if let Some(label) = &one.label {
                means.entry(key(label)).or_default().add(&one.map);
            }
        }
    }

    /// Writes the means.
    fn means(&self, means: &Means) -> Result<Vec<MapEntry>> {
        let mut all = Vec::with_capacity(means.len());
        for ((bundle, task, label), mean) in means {
            let Some(map) = mean.mean() else { continue };
            let pictures = map.pictures();
            let of = if label.is_empty() { String::new() } else { format!(" predicted {label}") };
            let plural = if pictures == 1 { "" } else { "s" };
            let headline = format!("{task}: mean of {pictures} picture{plural}{of}");
            let legend = occlusion::legend(*task != Task::Age, &map);
            let file = self.file("mean", *bundle, *task, label);
            let file = Self::write(&file, &overlay_with_text(&map, &headline, &legend))?;
            all.push(MapEntry {
                path: None,
                pictures,
                bundle: self.paths.get(*bundle).cloned().unwrap_or_default(),
                task: *task,
                label: (!label.is_empty()).then(|| label.clone()),
                prediction: None,
                map: map.summary(),
                file: Some(file),
            });
        }
        Ok(all)
    }

    fn place(&self, bundle: &str) -> usize {
        self.paths.iter().position(|path| path == bundle).unwrap_or_default()
    }

    /// Several bundles have a directory each.
    fn file(&self, what: &str, bundle: usize, task: Task, label: &str) -> PathBuf {
        // A class may be called whatever a folder is called.
        let label = label.replace(['/', '\\'], "_");
        let label = shortened(&label);
        let dash = if label.is_empty() { "" } else { "-" };
        let name = format!("{what}-{task}{dash}{label}.png");
        match self.bundles.get(bundle) {
            Some(bundle) if self.bundles.len() > 1 => self.directory.join(bundle).join(name),
            _ => self.directory.join(name),
        }
    }

    fn write(path: &Path, picture: &RgbImage) -> Result<String> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let failed = || format!("cannot write `{}`", path.display());
        let mut png = Cursor::new(Vec::new());
        picture.write_to(&mut png, ImageFormat::Png).context(failed)?;
        files::write_atomic(path, png.get_ref()).context(failed)?;
        Ok(path.display().to_string())
    }
}
