use facefold_core::{Targets, Task};

use super::{PredictedRow, PredictionColumn, RowPredictions, forget_rows};
use crate::metrics::PredictedValues;

#[test]
fn columns_that_are_repeated_left_out_or_exchanged_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("predictions.csv");
    let read = |columns: &str, values: &str| {
        let fixed = "path,subject,partition,truth";
        let text = format!("{fixed},{columns}\na.jpg,ann,fold-0,21,{values}\n");
        fs_err::write(&path, text).unwrap();
        RowPredictions::read_csv(&path, Task::Age, &[]).map_err(|error| error.to_string())
    };
    assert!(read("familiarity,mlp/7,mlp/7/low,mlp/7/high", "1,20,18,25").is_ok());
    for columns in [
        "mlp/7,mlp/7/low,mlp/7/high,mlp/7/high",
        "mlp/7,mlp/7/high,mlp/7/low,familiarity",
        "mlp/7,mlp/7/high,knn/7,familiarity",
        "familiarity,familiarity,mlp/7,knn/7",
    ] {
        let message = read(columns, "20,18,25,25").unwrap_err();
        assert!(message.contains(&format!("found path,subject,partition,truth,{columns}")));
    }
}

#[test]
fn probabilities_and_intervals_that_cannot_be_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("predictions.csv");
    let read = |task: Task, columns: &str, values: &str| {
        let text = format!("path,subject,partition,truth,{columns}\na.jpg,ann,fold-0,{values}\n");
        fs_err::write(&path, text).unwrap();
        let classes = ["f", "m"].map(str::to_owned);
        RowPredictions::read_csv(&path, task, &classes).map_err(|error| error.to_string())
    };
    let gender = |values: &str| read(Task::Gender, "mlp/7,mlp/7/p/f,mlp/7/p/m", values);
    assert!(gender("f,m,0,1").is_ok() && gender("f,m,0.5,0.5").is_ok());
    for value in ["7", "-0.1", "1.001"] {
        let message = gender(&format!("f,m,0.5,{value}")).unwrap_err();
        assert!(message.contains("line 2: expected a probability from 0 to 1"), "{message}");
    }
    let age = |values: &str| read(Task::Age, "mlp/7,mlp/7/low,mlp/7/high", values);
    assert!(age("21,20,18,25").is_ok());
    assert!(age("21,20,25,18").unwrap_err().contains("expected an interval, found 25 to 18"));
}

#[test]
fn csv_cells_are_no_formulas_and_read_back() {
    let texts = ["=1+1.jpg", "'quoted", "@SUM(A1)", "-1\n+1"];
    let rows = texts.map(|text| PredictedRow {
        path: text.into(),
        subject: text.into(),
        split: "fold 0".into(),
    });
    let classes = ["+old".to_owned(), "a/1/low".to_owned()];
    let predicted_values = PredictedValues::Classes {
        predicted: vec![0, 1, 0, 1],
        probabilities: vec![0.75, 0.25, 0.4, 0.6, 1.0, 0.0, 0.125, 0.875],
    };
    let written = RowPredictions {
        task: Task::Class,
        classes: classes.to_vec(),
        rows: rows.to_vec(),
        truth: Targets::Classes { indices: vec![0, 0, 1, 1], count: 2 },
        familiarity: None,
        columns: vec![PredictionColumn {
            head: "=cmd|calc".to_owned(),
            seed: 0,
            predicted_values,
            intervals: None,
        }],
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("predictions.csv");
    written.write_csv(&path).unwrap();
    let mut reader = csv::Reader::from_path(&path).unwrap();
    let header = reader.headers().unwrap().clone();
    assert_eq!(&header[4], "'=cmd|calc/0");
    for record in std::iter::once(Ok(header)).chain(reader.records()) {
        for cell in &record.unwrap() {
            assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell}");
        }
    }
    assert_eq!(RowPredictions::read_csv(&path, Task::Class, &classes).unwrap(), written);
    // Paths are matched unescaped.
    assert_eq!(forget_rows(&path, &|path| path == texts[0]).unwrap(), 1);
    let left = RowPredictions::read_csv(&path, Task::Class, &classes).unwrap();
    assert_eq!(left.rows, written.rows[1..]);
}
