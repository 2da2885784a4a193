//! `facefold explain`: occlusion maps of single pictures, and their means.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use facefold_core::text::printable;
use facefold_core::{Rejection, Task, files};
use facefold_predict::occlusion::{self, MapSummary, overlay_with_text};
use facefold_predict::{
    ExplainError, Explanation, FaceExplained, FaceSelector, MeanMap, Pipeline, Predictor,
    trained_on_whole_pictures,
};
use facefold_vision::decode::Limits;
use fs_err as fs;
use image::{ImageFormat, RgbImage};
use serde::Serialize;

use super::threads;
use crate::arguments::ExplainArguments;
use crate::bundles;
use crate::fan_out::{for_each_outcome, locked};
use crate::inputs::{Input, inputs, names, outside, picture_names};
use crate::network::{self, Faces};
use crate::output::Output;
use crate::unreadable::Unreadable;
use crate::{Outcome, interrupt, progress};

/// What is said of a picture or a mean.
#[derive(Debug, Serialize)]
struct Told {
    /// The picture; none for a mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Number of pictures that it is the mean of.
    pictures: usize,
    bundle: String,
    task: Task,
    /// The told class; in a mean none where it is over all of them.
    label: Option<String>,
    /// Probability of the told class, or years; none for a mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<f32>,
    #[serde(flatten)]
    map: MapSummary,
    /// The picture that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// A picture that could not be explained.
#[derive(Debug, Serialize)]
struct Rejected {
    path: String,
    status: &'static str,
    detail: String,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Document {
    /// Side of a patch and the step to the next, in pixels of the crop of 112 x 112.
    patch: usize,
    step: usize,
    pictures: Vec<Told>,
    means: Vec<Told>,
    rejected: Vec<Rejected>,
}

/// By bundle, task and told class (empty: over all of them), in that order.
type Means = BTreeMap<(usize, Task, String), MeanMap>;

/// Runs `explain`.
///
/// # Errors
/// If a bundle cannot be read or was made with another network, or a map cannot be written.
pub fn run(arguments: &ExplainArguments, output: Output) -> Result<Outcome> {
    outside("--out", &arguments.out, &arguments.input)?;
    let (pipeline, aligned) = pipeline(arguments)?;
    let inputs = inputs(&arguments.input)?;
    let paths: Vec<String> = pipeline.cards().into_iter().map(|card| card.name).collect();
    let maps = Maps {
        directory: &arguments.out,
        pictures: picture_names(&inputs, &["mean"]),
        bundles: names(paths.iter().map(Path::new), &[]),
        paths,
    };
    let which = FaceSelector { face: 0, aligned };
    let means: Mutex<Means> = Mutex::default();
    let interrupted = interrupt::listen()?;
    let bar = progress::bar(inputs.len() as u64, "explaining");
    let work = |index: usize, input: &Input| {
        let explained = input.read().map_err(ExplainError::Rejected);
        match explained.and_then(|bytes| pipeline.explain(&bytes, which)) {
            Ok(FaceExplained { explanations, .. }) => {
                maps.collect(&explanations, &mut locked(&means));
                let write = |one| maps.picture(index, &input.name(), one, arguments.mean_only);
                Ok(Ok(explanations.iter().map(write).collect::<Result<Vec<Told>>>()?))
            }
            Err(ExplainError::Rejected(rejection)) => Ok(Err((input.name(), rejection))),
            Err(ExplainError::Failed(error)) => Err(error.into()),
        }
    };
    let mut document = Document {
        patch: occlusion::PATCH,
        step: occlusion::STEP,
        pictures: Vec::new(),
        means: Vec::new(),
        rejected: Vec::new(),
    };
    let mut unreadable = Unreadable::default();
    let threads = threads(arguments.run.threads);
    let done = for_each_outcome(&inputs, threads, &interrupted, &bar, work, |outcome| {
        match outcome {
            Ok(mut told) => {
                // Only JSON has the values of a map, which are many.
                if !output.is_json() {
                    for one in &mut told {
                        one.map.grid = Vec::new();
                    }
                }
                document.pictures.extend(told);
            }
            Err((path, rejection)) => {
                unreadable.see(&path, &rejection);
                document.rejected.push(rejected(path, rejection));
            }
        }
        Ok(())
    });
    bar.finish_and_clear();
    done?;
    let means = means.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    document.means = maps.means(&means)?;
    output.answer(&document, || text(&document))?;
    if interrupted.load(Ordering::Relaxed) {
        return Ok(Outcome::Interrupted);
    }
    unreadable.finish(inputs.len())?;
    let is_rejected = arguments.strict && !document.rejected.is_empty();
    Ok(if is_rejected { Outcome::Rejected } else { Outcome::Done })
}

/// What explains, and whether pictures are taken whole.
fn pipeline(arguments: &ExplainArguments) -> Result<(Pipeline, bool)> {
    let bundles = bundles::load(&arguments.bundle, |path| path.display().to_string())?;
    // The bundle says which networks its features come from.
    let model = bundles.first().map_or_else(String::new, |(_, b)| b.extractor.model.clone());
    let network = arguments.run.of_model(model);
    let aligned = bundles::take_whole_pictures(&bundles, arguments.aligned);
    let faces = Faces {
        taps: Predictor::needs_taps(&bundles),
        aligned: !trained_on_whole_pictures(&bundles).is_empty(),
        all: false,
    };
    let extractor = network::local_extractor(&network, faces, Limits::default())?;
    Ok((Pipeline::new(extractor, bundles)?, aligned))
}

fn rejected(path: String, rejection: Rejection) -> Rejected {
    Rejected { path, status: rejection.reason.as_str(), detail: rejection.detail }
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
    ) -> Result<Told> {
        let mut told = Told {
            path: Some(path.to_owned()),
            pictures: 1,
            bundle: one.bundle.clone(),
            task: one.task,
            label: one.label.clone(),
            answer: Some(one.prediction),
            map: one.map.summary(),
            file: None,
        };
        if !only_mean {
            let name = self.pictures.get(index).map_or("picture", String::as_str);
            let file = self.file(name, self.place(&one.bundle), one.task, "");
            let map = overlay_with_text(&one.map, &one.words(), &one.legend());
            told.file = Some(Self::write(&file, &map)?);
        }
        Ok(told)
    }

    /// Adds a picture's maps to the means: over all, and over those of its told class.
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
    fn means(&self, means: &Means) -> Result<Vec<Told>> {
        let mut all = Vec::with_capacity(means.len());
        for ((bundle, task, label), mean) in means {
            let Some(map) = mean.mean() else { continue };
            let pictures = map.pictures();
            let of = if label.is_empty() { String::new() } else { format!(" told {label}") };
            let plural = if pictures == 1 { "" } else { "s" };
            let headline = format!("{task}: mean of {pictures} picture{plural}{of}");
            let legend = occlusion::legend(*task != Task::Age, &map);
            let file = self.file("mean", *bundle, *task, label);
            let file = Self::write(&file, &overlay_with_text(&map, &headline, &legend))?;
            all.push(Told {
                path: None,
                pictures,
                bundle: self.paths.get(*bundle).cloned().unwrap_or_default(),
                task: *task,
                label: (!label.is_empty()).then(|| label.clone()),
                answer: None,
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
        let mut png = Cursor::new(Vec::new());
        picture
            .write_to(&mut png, ImageFormat::Png)
            .map_err(anyhow::Error::from)
            .and_then(|()| Ok(files::write_atomic(path, png.get_ref())?))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path.display().to_string())
    }
}

fn text(document: &Document) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["picture", "told", "most that a patch takes", "at", "map"]);
    for told in document.pictures.iter().chain(&document.means) {
        let is_class = told.task != Task::Age;
        let scale = if is_class { 100.0 } else { 1.0 };
        let unit = if is_class { "points" } else { "years" };
        let mean = |count: usize| format!("mean of {count}");
        let answer = match (&told.label, told.answer) {
            (Some(label), Some(share)) => format!("{label} {:.0} %", 100.0 * share),
            (Some(label), None) => format!("{}: {label}", told.task),
            (None, Some(years)) => format!("{years:.1} years"),
            (None, None) => told.task.to_string(),
        };
        let [x, y] = told.map.most_at;
        table.add_row([
            told.path
                .as_ref()
                .map_or_else(|| mean(told.pictures), |path| printable(path).into_owned()),
            answer,
            format!("{:.1} {unit}", scale * told.map.most),
            format!("{x}, {y}"),
            told.file.clone().unwrap_or_default(),
        ]);
    }
    let mut text = table.to_string();
    for Rejected { path, status, detail } in &document.rejected {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{}: {status}: {detail}", printable(path));
    }
    text
}
