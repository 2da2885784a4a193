//! Results: the journal of a cross-validation, the table of predictions, and reports.

use facefold_core::checksum::{self, UNSEALED};
use facefold_core::{PredictedTargets, Prediction, Targets, Task, TrainingLog};
use facefold_evaluate::{
    AgePredictions, DirectoryJournal, FitAges, FitId, FitRecord, FitResult, Journal as _, Metrics,
    PredictedRow, PredictedValues, PredictionColumn, RowPredictions,
};
use facefold_report::{MatrixReport, Report};
use ndarray::Array2;

use crate::scratch;

/// A fit that was made up; its file in a journal has this name.
const FIT_FILE: &str = "age-mlp-fold-0-7.json";

fn fit() -> FitId {
    FitId {
        task: "age".into(),
        head: "mlp".into(),
        split: "fold-0".into(),
        seed: 7,
        hash: "00ff".into(),
    }
}

/// The input is a fit's record; it is sealed as the journal does.
pub(crate) fn journal(bytes: &[u8]) {
    let mut file =
        [b"{\"record\":", bytes, b",\"checksum\":\"", UNSEALED.as_bytes(), b"\"}"].concat();
    assert!(checksum::seal(&mut file, b"\"checksum\":\""));
    let folder = scratch::folder("journal");
    scratch::write(&folder, FIT_FILE, &file);
    let journal = DirectoryJournal::new(&folder);
    let Some(record) = journal.load(&fit()) else { return };
    journal.save(&record).unwrap();
    // Without NaN, which equals nothing, what is read is what was written.
    if record == record.clone() {
        assert_eq!(journal.load(&fit()).unwrap(), record);
    }
}

pub(crate) fn journal_seeds() -> Vec<Vec<u8>> {
    let ages = PredictedValues::Regression(vec![20.5, 33.0]);
    let years = Targets::exact_years(vec![21.0, 30.0]);
    let classes = PredictedValues::Classes {
        predicted: vec![0, 1],
        probabilities: vec![0.75, 0.25, 0.5, 0.5],
    };
    let genders = Targets::Classes { indices: vec![0, 0], count: 2 };
    let distributions = Prediction {
        age_distribution: Some(Array2::from_elem((2, 4), 0.25)),
        ..PredictedTargets::Regression(vec![20.0, 30.0]).into()
    };
    let fit_ages = FitAges {
        validation: AgePredictions::Ages(vec![20.0]),
        test: AgePredictions::of(&distributions).unwrap(),
    };
    let record =
        |predicted_values: &PredictedValues, targets: &Targets, ages: Option<FitAges>| FitRecord {
            id: fit(),
            result: FitResult {
                split: "fold-0".into(),
                seed: 7,
                train: None,
                validation: None,
                test: Metrics::measure(predicted_values, targets, false).unwrap().unwrap(),
                intervals: None,
                familiarity: None,
                log: TrainingLog::default(),
                seconds: 0.5,
            },
            predicted_values: predicted_values.clone(),
            intervals: ages.as_ref().map(|_| vec![(18.0, 25.0), (28.0, 40.0)]),
            familiarity: ages.as_ref().map(|_| vec![0.5, 2.0]),
            ages,
        };
    let records = [record(&ages, &years, Some(fit_ages)), record(&classes, &genders, None)];
    records.iter().map(|record| serde_json::to_vec(record).unwrap()).collect()
}

/// The first byte says which task's table the rest is.
pub(crate) fn predictions(bytes: &[u8]) {
    let Some((task, content)) = bytes.split_first() else { return };
    let (task, classes) =
        if task % 2 == 0 { (Task::Age, ages()) } else { (Task::Gender, genders()) };
    let folder = scratch::folder("predictions");
    scratch::write(&folder, "read.csv", content);
    let read = |name: &str| RowPredictions::read_csv(&folder.join(name), task, &classes);
    if let Ok(predictions) = read("read.csv") {
        predictions.write_csv(&folder.join("written.csv")).unwrap();
        assert_eq!(read("written.csv").unwrap(), predictions);
    }
}

fn ages() -> Vec<String> {
    Vec::new()
}

fn genders() -> Vec<String> {
    ["female", "male"].map(str::to_owned).to_vec()
}

pub(crate) fn predictions_seeds() -> Vec<Vec<u8>> {
    let folder = scratch::folder("predictions");
    let rows = ["a.jpg", "=b.jpg"].map(|path| PredictedRow {
        path: path.into(),
        subject: "ann".into(),
        split: "fold-0".into(),
    });
    let column = |predicted_values| PredictionColumn {
        head: "mlp".into(),
        seed: 7,
        intervals: matches!(predicted_values, PredictedValues::Regression(_))
            .then(|| vec![(18.0, 25.0), (28.0, 40.0)]),
        predicted_values,
    };
    let written = |predictions: &RowPredictions, first: u8| {
        let path = folder.join("seed.csv");
        predictions.write_csv(&path).unwrap();
        [&[first], &fs_err::read(path).unwrap()[..]].concat()
    };
    let by_age = RowPredictions {
        task: Task::Age,
        classes: ages(),
        rows: rows.to_vec(),
        truth: Targets::exact_years(vec![21.0, 30.0]),
        familiarity: Some(vec![0.5, 2.0]),
        columns: vec![column(PredictedValues::Regression(vec![20.5, 33.0]))],
    };
    let predicted_values = PredictedValues::Classes {
        predicted: vec![0, 1],
        probabilities: vec![0.75, 0.25, 0.5, 0.5],
    };
    let by_gender = RowPredictions {
        task: Task::Gender,
        classes: genders(),
        rows: rows.to_vec(),
        truth: Targets::Classes { indices: vec![0, 0], count: 2 },
        familiarity: None,
        columns: vec![column(predicted_values)],
    };
    let twice = "\0path,subject,partition,truth,mlp/7,mlp/7/low,mlp/7/high,mlp/7/high\n\
                 a.jpg,ann,fold-0,21,20,18,25,25\n";
    vec![written(&by_age, 0), written(&by_gender, 1), twice.into()]
}

pub(crate) fn report(bytes: &[u8]) {
    if let Ok(report) = Report::parse(bytes) {
        let written = serde_json::to_vec(&report).unwrap();
        assert_eq!(Report::parse(&written).unwrap(), report);
        let _ = facefold_report::html(&report);
        let _ = facefold_report::markdown(&report);
        let _ = facefold_report::terminal(&report);
    }
    if let Ok(report) = serde_json::from_slice::<MatrixReport>(bytes) {
        let _ = facefold_report::matrix_markdown(&report);
        let _ = facefold_report::matrix_terminal(&report);
    }
}

/// Reports of this repository with a few of everything that they list.
pub(crate) fn report_seeds() -> Vec<Vec<u8>> {
    let reports = [
        include_str!("../../../results/wiki-gender/report.json"),
        include_str!("../../../results/wiki-young-old/report.json"),
        include_str!("../../../results/matrix/report.json"),
    ];
    let shrunk = |report: &str| {
        let mut report = serde_json::from_str(report).unwrap();
        shrink(&mut report);
        serde_json::to_vec(&report).unwrap()
    };
    reports.into_iter().map(shrunk).collect()
}

/// Leaves two of each list.
fn shrink(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(items) => {
            items.truncate(2);
            items.iter_mut().for_each(shrink);
        }
        serde_json::Value::Object(entries) => entries.values_mut().for_each(shrink),
        _ => {}
    }
}
