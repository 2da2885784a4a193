//! `facefold predict`: answers for pictures from trained bundles.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use facefold_core::{RejectReason, Rejection};
use facefold_heads::Bundle;
use facefold_predict::{Answer, PredictError, Predictor, Status, csv, table};
use fs_err as fs;

use super::threads;
use crate::arguments::{AnswerFormat, FacesName, NetworkArguments, PredictArguments};
use crate::network::{self, Faces};
use crate::output::{self, Output};
use crate::{Outcome, interrupt, progress};

/// Names that end so are taken for pictures when a directory is read.
const PICTURES: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif"];

/// A picture to tell about.
enum Input {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Input {
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes(_) => "-".to_owned(),
        }
    }

    fn read(&self) -> Result<Vec<u8>, Rejection> {
        match self {
            Self::File(path) => std::fs::read(path).map_err(|error| {
                Rejection::new(RejectReason::Unreadable, error.kind().to_string())
            }),
            Self::Bytes(bytes) => Ok(bytes.clone()),
        }
    }
}

/// Runs `predict`.
///
/// # Errors
/// If a bundle cannot be read or was made with another network.
pub fn run(arguments: &PredictArguments, output: Output) -> Result<Outcome> {
    let bundles = arguments
        .bundle
        .iter()
        .map(|path| Ok((path.display().to_string(), Bundle::load(path)?)))
        .collect::<Result<Vec<_>>>()?;
    let predictor = predictor(arguments, bundles)?;
    let inputs = inputs(&arguments.input)?;
    let interrupted = interrupt::listen()?;
    let bar = progress::bar(inputs.len() as u64, "predicting");
    let next = AtomicUsize::new(0);
    let all: Mutex<Vec<(usize, Vec<Answer>)>> = Mutex::new(Vec::new());
    let failure: Mutex<Option<PredictError>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..threads(arguments.threads).min(inputs.len()) {
            scope.spawn(|| {
                while !interrupted.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(input) = inputs.get(index) else { return };
                    let answers = match input.read() {
                        Ok(bytes) => predictor.predict(&input.name(), &bytes),
                        Err(rejection) => Ok(arguments
                            .bundle
                            .iter()
                            .map(|bundle| {
                                let bundle = bundle.display().to_string();
                                Answer::rejected(&input.name(), &bundle, &rejection)
                            })
                            .collect()),
                    };
                    bar.inc(1);
                    match answers {
                        Ok(answers) => locked(&all).push((index, answers)),
                        Err(error) => {
                            locked(&failure).get_or_insert(error);
                            next.store(inputs.len(), Ordering::Relaxed);
                            return;
                        }
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    if let Some(error) = locked(&failure).take() {
        return Err(error.into());
    }
    let mut all = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    all.sort_by_key(|(index, _)| *index);
    let answers: Vec<Answer> = all.into_iter().flat_map(|(_, answers)| answers).collect();
    print(arguments, &answers, output)?;
    let rejected = |answer: &Answer| matches!(answer.status, Status::Rejected(_));
    Ok(if interrupted.load(Ordering::Relaxed) {
        Outcome::Interrupted
    } else if arguments.strict && answers.iter().any(rejected) {
        Outcome::Rejected
    } else {
        Outcome::Done
    })
}

fn predictor(arguments: &PredictArguments, bundles: Vec<(String, Bundle)>) -> Result<Predictor> {
    // The bundle says which networks its features come from.
    let model = bundles.first().map_or_else(String::new, |(_, b)| b.extractor.model.clone());
    let aligned = bundles.iter().any(|(_, bundle)| bundle.extractor.detector == "none");
    let network = NetworkArguments {
        model,
        precision: arguments.precision,
        device: arguments.device.clone(),
        threads: arguments.threads,
        offline: arguments.offline,
    };
    let faces = Faces {
        taps: Predictor::needs_taps(&bundles),
        aligned: arguments.aligned || aligned,
        all: arguments.faces == FacesName::All,
    };
    Ok(Predictor::new(network::extractor(&network, faces)?, bundles)?)
}

/// The pictures asked for: files as they are, directories in name order, and stdin for `-`.
fn inputs(paths: &[PathBuf]) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.extend(standard_input()?);
        } else if path.is_dir() {
            let before = inputs.len();
            walk(path, &mut inputs)?;
            if inputs.len() == before {
                bail!("no picture in `{}`", path.display());
            }
        } else {
            inputs.push(Input::File(path.clone()));
        }
    }
    Ok(inputs)
}

fn walk(directory: &Path, inputs: &mut Vec<Input>) -> Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    entries.sort();
    for path in entries {
        let is_picture = path.extension().is_some_and(|extension| {
            PICTURES.iter().any(|known| extension.eq_ignore_ascii_case(known))
        });
        if path.is_dir() {
            walk(&path, inputs)?;
        } else if is_picture {
            inputs.push(Input::File(path));
        }
    }
    Ok(())
}

/// A list of paths, one a line, or the bytes of one picture: text has no control bytes.
fn standard_input() -> Result<Vec<Input>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read stdin")?;
    let is_text = std::str::from_utf8(&bytes)
        .is_ok_and(|text| text.chars().all(|c| !c.is_control() || "\r\n\t".contains(c)));
    if !is_text {
        return Ok(vec![Input::Bytes(bytes)]);
    }
    let lines = bytes.lines().collect::<std::io::Result<Vec<String>>>()?;
    Ok(lines.into_iter().filter(|line| !line.is_empty()).map(|l| Input::File(l.into())).collect())
}

fn print(arguments: &PredictArguments, answers: &[Answer], output: Output) -> Result<()> {
    if output.is_json() || arguments.format == AnswerFormat::Json {
        return output::line(&serde_json::to_string_pretty(answers)?);
    }
    match arguments.format {
        AnswerFormat::Table | AnswerFormat::Json => output::line(&table::table(answers)),
        AnswerFormat::Jsonl => {
            for answer in answers {
                output::line(&serde_json::to_string(answer)?)?;
            }
            Ok(())
        }
        AnswerFormat::Csv => {
            let (all, several) = (arguments.faces == FacesName::All, arguments.bundle.len() > 1);
            output::line(&csv::header(all, several))?;
            for answer in answers {
                output::line(&csv::line(answer, all, several))?;
            }
            Ok(())
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
