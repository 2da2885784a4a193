//! The report of a matrix: every figure with its interval, and why a cell has none.

use facefold_core::Task;
use facefold_evaluate::statistics::bootstrap::Interval;
use facefold_evaluate::{
    CellMetric, CellOutcome, HeadMatrix, MatrixCell, MatrixResult, MeasuredCell, Metric, Protocol,
    SetCounts, SetName, TrainedOn,
};
use facefold_report::{
    FORMAT, MatrixReport, RowCounts, SetInfo, TaskMatrix, matrix_markdown, matrix_terminal,
    write_matrix,
};

use crate::run;

const SETS: [&str; 2] = ["adults", "babies"];

fn measured(mae: f64, bias: f64, protocol: Option<Protocol>) -> CellOutcome {
    let metric = |metric, value: f64, half: f64| CellMetric {
        metric,
        value,
        interval: (half > 0.0).then_some(Interval { low: value - half, high: value + half }),
    };
    CellOutcome::Measured(MeasuredCell {
        protocol,
        training: 1500,
        validation: 200,
        test: 300,
        subjects: 50,
        notes: match protocol {
            None => vec!["7 training rows are left out".to_owned()],
            Some(_) => Vec::new(),
        },
        metrics: vec![
            metric(Metric::MeanAbsoluteError, mae, 0.5),
            metric(Metric::MeanError, bias, 0.25),
            metric(Metric::Correlation, 0.9876, 0.001),
            metric(Metric::IntervalCoverage, 0.8123, 0.0),
        ],
    })
}

fn report() -> MatrixReport {
    let of_cv = run::report();
    let cell = |trained: &str, tested: &str, outcome| MatrixCell {
        trained_on: TrainedOn::Set(SetName::new(trained)),
        tested_on: SetName::new(tested),
        outcome,
    };
    let missing = || CellOutcome::Missing("no row of `babies` serves this task".to_owned());
    let head = HeadMatrix {
        name: "sharp".to_owned(),
        settings: serde_json::json!({ "hidden": 256 }),
        cells: vec![
            cell("adults", "adults", measured(4.15, -0.5, Some(Protocol::Folds))),
            cell("adults", "babies", missing()),
            cell("babies", "adults", measured(12.5, 11.25, None)),
            cell("babies", "babies", missing()),
        ],
    };
    let mut dataset = of_cv.dataset;
    dataset.kind = SETS.join(" + ");
    dataset.sets = SETS
        .map(|name| SetInfo {
            name: SetName::new(name),
            kind: "synthetic".to_owned(),
            serves: "training and test".to_owned(),
            samples: 155,
            embedded: 153,
        })
        .to_vec();
    MatrixReport {
        format: FORMAT,
        warnings: vec!["synthetic faces".to_owned()],
        provenance: of_cv.provenance,
        dataset,
        tasks: vec![TaskMatrix {
            rows: RowCounts {
                samples: 310,
                used: 300,
                dropped: [("no face".to_owned(), 10)].into(),
                of_sets: [(SetName::new("adults"), 300), (SetName::new("babies"), 0)].into(),
            },
            result: MatrixResult {
                task: Task::Age,
                classes: Vec::new(),
                seed: 7,
                seeds: vec![1, 2],
                features: 2560,
                sets: SETS
                    .map(|name| SetCounts { name: SetName::new(name), rows: 300, subjects: 50 })
                    .to_vec(),
                heads: vec![head],
            },
        }],
    }
}

#[test]
fn the_markdown_has_every_figure_with_its_interval() {
    let text = matrix_markdown(&report());
    for needed in [
        "# age across data sets: adults + babies",
        "> **synthetic faces**",
        "| trained on ↓, tested on → | adults | babies |",
        "| adults | 4.15 (3.65 to 4.65) | – |",
        "| babies | 12.50 (12.00 to 13.00) | – |",
        "| babies | 11.25 (11.00 to 11.50) | – |",
        "| adults | 0.988 (0.987 to 0.989) | – |",
        "| adults | 81.23 | – |",
        "| adults → adults | folds | 1,500 | 200 | 300 | 50 |",
        "| babies → adults | whole sets | 1,500 | 200 | 300 | 50 |",
        "- adults → babies: no row of `babies` serves this task.",
        "- babies → adults: 7 training rows are left out.",
        "| adults | synthetic | training and test | 155 | 153 |",
        "Rows used for age by data set: adults 300, babies none",
        "2,560 features, seed 7 for the splits, fits with seeds 1, 2.",
        "facefold cv --store faces",
        "commit abc1234",
        "\"hidden\": 256",
        "non-commercial research only",
    ] {
        assert!(text.contains(needed), "`{needed}` is missing:\n{text}");
    }
    assert!(!text.contains("CS@5"), "no cell has it");
    assert!(!text.contains("do not add up"));
    let short = matrix_terminal(&report());
    assert!(
        short.contains("4.15 (3.65 to 4.65)") && short.starts_with("! synthetic faces"),
        "{short}"
    );
}

#[test]
fn the_json_holds_the_report() {
    let directory = tempfile::tempdir().unwrap();
    let markdown = write_matrix(&report(), directory.path()).unwrap();
    assert_eq!(fs_err::read_to_string(markdown).unwrap(), matrix_markdown(&report()));
    let json = fs_err::read(directory.path().join("report.json")).unwrap();
    assert_eq!(serde_json::from_slice::<MatrixReport>(&json).unwrap(), report());
}
