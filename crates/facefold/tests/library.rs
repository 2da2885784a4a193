//! The library from pictures to predictions, as a program of a user's calls it. The network is the
//! untrained one, so that nothing needs to be fetched.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use facefold::core::{ImageKey, PredictedTargets, Task};
use facefold::datasets::DatasetKind;
use facefold::store::{Features, Forget, SampleRow, Store};
use facefold::synthetic::SyntheticOptions;
use facefold::vision::LocalExtractor;
use facefold::vision::decode::Limits;
use facefold::{
    EvaluationOptions, ExtractOptions, ExtractSummary, Faces, LearningOptions, NetworkOptions,
    Origin, Progress, Source, Stage, Step, TrainOptions, cross_validate_stores, extract, predictor,
    stores, synthetic, train,
};

/// Counts the steps of a stage, and cancels after so many.
struct Listener {
    stage: Stage,
    most: u64,
    steps: AtomicU64,
    notes: Mutex<Vec<String>>,
}

impl Listener {
    fn new(stage: Stage, most: u64) -> Self {
        Self { stage, most, steps: AtomicU64::new(0), notes: Mutex::default() }
    }
}

impl Progress for Listener {
    fn step(&self, step: Step<'_>) {
        assert!(step.total.is_none_or(|total| step.done <= total), "{step:?}");
        if step.stage == self.stage {
            self.steps.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn note(&self, message: &str) {
        self.notes.lock().expect("no panic").push(message.to_owned());
    }

    fn is_cancelled(&self) -> bool {
        self.steps.load(Ordering::Relaxed) >= self.most
    }
}

fn untrained() -> NetworkOptions {
    NetworkOptions { offline: true, ..NetworkOptions::default().of_model("untrained") }
}

fn extractor() -> LocalExtractor {
    untrained().extractor(Faces::default(), Limits::default(), &()).expect("no weights needed")
}

/// Embeds a data set of 48 synthetic pictures of 16 subjects into a store.
fn extracted(root: &Path, progress: &dyn Progress) -> ExtractSummary {
    extraction(root, progress).expect("extracted")
}

fn extraction(root: &Path, progress: &dyn Progress) -> facefold::Result<ExtractSummary> {
    extraction_by(&extractor(), root, progress)
}

fn extraction_by(
    extractor: &LocalExtractor,
    root: &Path,
    progress: &dyn Progress,
) -> facefold::Result<ExtractSummary> {
    let pictures = root.join("pictures");
    let options = SyntheticOptions { subjects: 16, pictures: 48, ..SyntheticOptions::default() };
    synthetic::generate(&pictures, &options, &()).expect("drawn");
    let source = Source::new(DatasetKind::Adience, &pictures);
    let dataset = source.load(&()).expect("labels");
    let options = ExtractOptions { workers: 2, ..ExtractOptions::new(root.join("store")) };
    extract(&source, &dataset, extractor, &options, progress)
}

/// The files of finished fits below a report's directory.
fn fits(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(out.join("fits")).expect("finished fits");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.map(|path| (path.clone(), std::fs::read(path).expect("a fit"))).collect()
}

#[test]
fn a_cancelled_extraction_and_cross_validation_go_on_where_they_were() {
    let root = tempfile::tempdir().expect("a directory");
    let first = extracted(root.path(), &Listener::new(Stage::Extracting, 10));
    assert!(first.interrupted && first.embedded < 48, "{first:?}");
    let second = extracted(root.path(), &());
    assert!(!second.interrupted, "{second:?}");
    assert_eq!(second.distinct_pictures as u64, first.embedded + second.embedded);
    assert!(second.rejected.is_empty(), "{second:?}");

    let learning = LearningOptions::new(root.path().join("store"), &[Task::Gender]);
    let learning = LearningOptions { threads: 1, ..learning };
    let out = root.path().join("report");
    let options = EvaluationOptions::new(learning, &["linear"], &out);
    let stopped = Listener::new(Stage::Fitting, 2);
    assert!(cross_validate_stores(&options, &stopped).expect("no failure").is_none());
    assert!(!out.join("report.json").exists());
    let finished = fits(&out);
    assert!(!finished.is_empty() && finished.len() < 10, "{} fits", finished.len());
    // Another build of the program goes on with them: made anew they would have taken another time.
    let origin =
        Origin { command: "again".to_owned(), commit: Some("another".to_owned()), run_file: None };
    let options = EvaluationOptions { origin, ..options };
    let listener = Listener::new(Stage::Fitting, u64::MAX);
    let report = cross_validate_stores(&options, &listener).expect("a report").expect("finished");
    assert_eq!(listener.steps.load(Ordering::Relaxed), 10, "two heads on five folds");
    let all = fits(&out);
    assert!(all.len() == 10 && finished.iter().all(|(path, bytes)| all[path] == *bytes));
    let names: Vec<&str> =
        report.tasks[0].result.heads.iter().map(|head| head.name.as_str()).collect();
    assert_eq!(names, ["linear", "majority"]);
    assert!(report.warnings.iter().any(|warning| warning.contains("untrained network")));
    let notes = listener.notes.lock().expect("no panic");
    assert!(notes.iter().any(|note| note.starts_with("gender: ")), "{notes:?}");
}

#[test]
fn a_trained_bundle_predicts_and_a_forgotten_subject_is_gone() {
    let root = tempfile::tempdir().expect("a directory");
    let summary = extracted(root.path(), &());
    let store = root.path().join("store");
    let learning = LearningOptions::new(&store, &[Task::Gender, Task::AgeGroup]);
    let bundle = train(&TrainOptions::new(learning, "linear"), &()).expect("a bundle");
    let bundles = vec![("mine".to_owned(), bundle)];
    let predictor =
        predictor(bundles, &untrained(), Faces::default(), Limits::default(), &()).expect("fits");

    let source = Source::new(DatasetKind::Adience, root.path().join("pictures"));
    let sample = source.load(&()).expect("labels").samples.swap_remove(0);
    let picture = std::fs::read(source.root.join(&sample.path)).expect("a picture");
    let answers = predictor.predict("first", &picture).expect("no failure");
    assert_eq!((answers[0].path.as_str(), answers[0].bundle.as_str()), ("first", "mine"));
    assert!(answers[0].gender.is_some() && answers[0].age_group.is_some(), "{answers:?}");

    let subject = sample.subject.expect("named");
    let forgotten = stores::forget(&store, Forget::Subject(&subject), &()).expect("forgotten");
    assert!(forgotten.pictures > 0, "{forgotten:?}");
    let left = Store::open(&store).expect("a store").embedded_keys().len();
    assert_eq!(left as u64, summary.embedded - forgotten.pictures as u64);
}

/// A store with taps has mirrored rows too, which heads on embeddings alone are trained and measured on.
#[test]
fn a_picture_is_predicted_as_its_rows_of_the_store_are() {
    let root = tempfile::tempdir().expect("a directory");
    let faces = Faces { taps: true, ..Faces::default() };
    let extractor = untrained().extractor(faces, Limits::default(), &()).expect("an extractor");
    extraction_by(&extractor, root.path(), &()).expect("extracted");
    let path = root.path().join("store");
    let learning = LearningOptions::new(&path, &[Task::Gender]);
    let learning = LearningOptions { features: Some(Features::Embedding), ..learning };
    let bundle = train(&TrainOptions::new(learning, "linear"), &()).expect("a bundle");
    assert!(bundle.mirrored);
    let head = bundle.fitted().expect("a head").swap_remove(0);
    let bundles = vec![("mine".to_owned(), bundle)];
    let predictor =
        predictor(bundles, &untrained(), Faces::default(), Limits::default(), &()).expect("fits");

    let store = Store::open(&path).expect("a store");
    let source = Source::new(DatasetKind::Adience, root.path().join("pictures"));
    for sample in source.load(&()).expect("labels").samples.iter().take(8) {
        let picture = std::fs::read(source.root.join(&sample.path)).expect("a picture");
        let key = ImageKey::of(&picture);
        let matrix = store.load_features(Features::Embedding, &[key], false).expect("its rows");
        let PredictedTargets::Classes(expected) =
            head.predict(&matrix, &[0]).expect("a prediction").targets
        else {
            panic!("expected classes")
        };
        let mut answers = predictor.predict("", &picture).expect("no failure");
        let gender = answers.swap_remove(0).gender.expect("a class");
        let found: Vec<f32> = gender.probabilities.iter().map(|class| class.1).collect();
        assert_eq!(found, expected.row(0).to_vec(), "{}", sample.path.display());
    }
}

/// Calls something once, at the first note or step that is asked for.
struct Meanwhile<'a> {
    at: &'static str,
    act: &'a (dyn Fn() + Sync),
    done: AtomicU64,
}

impl Meanwhile<'_> {
    fn meet(&self, text: &str) {
        if text.contains(self.at) && self.done.fetch_add(1, Ordering::Relaxed) == 0 {
            (self.act)();
        }
    }
}

impl Progress for Meanwhile<'_> {
    fn step(&self, step: Step<'_>) {
        if step.stage == Stage::Fitting {
            self.meet("a fit");
        }
    }

    fn note(&self, message: &str) {
        self.meet(message);
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Whether any file below a directory names somebody.
fn names(directory: &Path, who: &str) -> bool {
    std::fs::read_dir(directory).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return names(&path, who);
        }
        let bytes = std::fs::read(path).expect("a file");
        bytes.windows(who.len()).any(|found| found == who.as_bytes())
    })
}

fn evaluation(store: &Path, out: &Path, command: &str) -> EvaluationOptions {
    let learning = LearningOptions::new(store, &[Task::Gender]);
    let learning = LearningOptions { threads: 1, ..learning };
    let mut options = EvaluationOptions::new(learning, &["majority", "linear"], out);
    command.clone_into(&mut options.origin.command);
    options
}

/// A removal at each moment of a run: it waits for a run that it knows of, and a run that it cannot know of
/// finds its rows gone.
#[test]
fn no_report_is_made_of_somebody_who_is_forgotten_meanwhile() {
    let root = tempfile::tempdir().expect("a directory");
    extracted(root.path(), &());
    let (store, out) = (root.path().join("store"), root.path().join("report"));
    let source = Source::new(DatasetKind::Adience, root.path().join("pictures"));
    let samples = source.load(&()).expect("labels").samples;
    let mut subjects: Vec<_> = samples.into_iter().filter_map(|sample| sample.subject).collect();
    subjects.dedup();
    let forget = |number: usize| {
        stores::forget(&store, Forget::Subject(&subjects[number]), &())
            .map_err(|error| error.to_string())
    };
    let cell = |number: usize| format!(",{},", subjects[number]);
    let run = |command: &str, at: &'static str, act: &(dyn Fn() + Sync)| {
        let meanwhile = Meanwhile { at, act, done: AtomicU64::new(0) };
        let report = cross_validate_stores(&evaluation(&store, &out, command), &meanwhile);
        assert!(meanwhile.done.load(Ordering::Relaxed) > 0, "{at} was not met");
        report.map(|report| report.is_some()).map_err(|error| error.to_string())
    };

    // While it fits: the removal is refused and changes nothing, and removes the rows afterwards.
    let refused = || {
        let message = forget(0).expect_err("refused");
        assert!(
            message.contains("nothing was removed: a run is at work on the report"),
            "{message}"
        );
    };
    assert_eq!(run("first", "a fit", &refused), Ok(true));
    assert!(names(&out, &cell(0)));
    assert!(Store::open(&store).expect("a store").verify().expect("verified").is_valid());
    let forgotten = forget(0).expect("forgotten");
    assert!(forgotten.reports.values().sum::<usize>() > 0, "{forgotten:?}");
    assert!(!names(&out, &cell(0)));

    // After it has read the rows and before it has noted its report.
    std::fs::remove_file(store.join("reports")).expect("a list");
    let done = || assert!(forget(1).is_ok());
    let message = run("second", "holds the report of another command", &done).expect_err("refused");
    assert!(message.contains("were removed after they were read"), "{message}");
    assert!(!names(&out.join("fits"), "gender"), "fits are left");

    // While it fits, where its note was lost.
    let done = || {
        std::fs::remove_file(store.join("reports")).expect("a list");
        assert!(forget(2).is_ok());
    };
    let message = run("third", "a fit", &done).expect_err("refused");
    assert!(message.contains("were removed after they were read"), "{message}");
    assert!(!names(&out.join("fits"), "gender"), "fits are left");

    // And of what is left there is a report.
    assert_eq!(run("fourth", "gender: ", &|| ()), Ok(true));
    assert!((0..3).all(|number| !names(&out, &cell(number))));
}

#[test]
fn nothing_is_learnt_from_a_store_with_an_unfinished_removal() {
    let root = tempfile::tempdir().expect("a directory");
    extracted(root.path(), &());
    let (store, out) = (root.path().join("store"), root.path().join("report"));
    let sample = |row: SampleRow| row.sample.subject;
    let samples = Store::open(&store).expect("a store").samples().expect("samples");
    let subject = samples.into_iter().find_map(sample).expect("a subject");
    let mut writer = Store::open_for_writing(&store).expect("a store");
    let traces = writer.find_traces(Forget::Subject(&subject)).expect("traces");
    writer.begin_removal(&traces).expect("begun");
    drop(writer);
    let refused = cross_validate_stores(&evaluation(&store, &out, "cv"), &()).expect_err("refused");
    assert!(refused.to_string().contains("run the same `store forget` command again"), "{refused}");
    let learning = LearningOptions::new(&store, &[Task::Gender]);
    assert!(train(&TrainOptions::new(learning, "linear"), &()).is_err());
    assert!(extraction(root.path(), &()).is_err());
    stores::forget(&store, Forget::Subject(&subject), &()).expect("finished");
    assert!(cross_validate_stores(&evaluation(&store, &out, "cv"), &()).is_ok());
}
