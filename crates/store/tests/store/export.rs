//! Exports: the same rows in the same order in every format, and the same bytes every time.

use facefold_core::{FaceVariant, Fold, Gender, Sample, SubjectId};
use facefold_store::{ExportFormat, SampleRow, Store};

use crate::util::{EMBEDDING, append, create, key, row};

/// Label rows out of order; two share a picture, one was rejected, one has no key.
pub fn labelled(directory: &std::path::Path) -> Store {
    let mut writer = create(directory);
    append(&mut writer, 0..10);
    let labelled = |path: &str, number: Option<u32>| SampleRow {
        sample: Sample {
            raw_age: "(25, 32)".into(),
            gender: Some(Gender::Female),
            subject: Some(SubjectId::new("anna")),
            fold: Some(Fold(3)),
            ..Sample::unlabelled(path)
        },
        key: number.map(key),
        rejection: None,
    };
    let rows = [
        labelled("a, b.jpg", Some(7)),
        labelled("unlisted.jpg", Some(9)),
        labelled("c.jpg", Some(0)),
        labelled("gone.jpg", None),
        labelled("copy of a, b.jpg", Some(7)),
    ];
    writer.write_samples(&rows).unwrap();
    writer.finish().unwrap()
}

#[test]
fn csv_and_npy_hold_the_embedded_rows_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = labelled(&directory.path().join("store"));
    let out = directory.path().join("out");
    let exported = store.export(ExportFormat::Npy, &out).unwrap();
    assert_eq!((exported.rows, exported.left_out, exported.files.len()), (3, 2, 3));
    store.export(ExportFormat::Csv, &out).unwrap();

    let npy = fs_err::read(out.join("embeddings.npy")).unwrap();
    let expected: Vec<u8> = [7, 0, 7]
        .iter()
        .flat_map(|&number| row(number, FaceVariant::PLAIN)[..EMBEDDING].to_vec())
        .flat_map(f32::to_le_bytes)
        .collect();
    assert_eq!(npy[128..], expected);
    let head = String::from_utf8_lossy(&npy[..128]).into_owned();
    assert!(head.contains("'<f4'") && head.contains("(3, 8)"), "{head}");

    let index = fs_err::read_to_string(out.join("index.csv")).unwrap();
    let lines: Vec<&str> = index.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with("path,key,subject,fold,split,gender,age,race,class,"));
    let expected = format!("\"a, b.jpg\",{},anna,3,,f,\"(25, 32)\",,,0,embedded,2,,0.75,", key(7));
    assert!(lines[1].starts_with(&expected), "{}", lines[1]);
    assert!(lines[2].contains(",0.1,0.75,100.25,12.5,1 2 3 0"), "{}", lines[2]);

    let mut reader = csv::Reader::from_path(out.join("embeddings.csv")).unwrap();
    let column = reader.headers().unwrap().iter().position(|name| name == "embedding_0").unwrap();
    for (record, number) in reader.records().zip([7, 0, 7]) {
        let values: Vec<f32> =
            record.unwrap().iter().skip(column).map(|cell| cell.parse().unwrap()).collect();
        assert_eq!(values, row(number, FaceVariant::PLAIN));
    }
}

#[test]
fn exported_cells_are_no_spreadsheet_formulas() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(&directory.path().join("store"));
    append(&mut writer, 0..1);
    let sample = Sample {
        subject: Some(SubjectId::new("@SUM(A1)")),
        class: Some("-1+1".to_owned()),
        ..Sample::unlabelled("=1+1.jpg")
    };
    writer.write_samples(&[SampleRow { sample, key: Some(key(0)), rejection: None }]).unwrap();
    let store = writer.finish().unwrap();
    for (format, file) in [(ExportFormat::Npy, "index.csv"), (ExportFormat::Csv, "embeddings.csv")]
    {
        let out = directory.path().join("out");
        store.export(format, &out).unwrap();
        let mut reader = csv::Reader::from_path(out.join(file)).unwrap();
        let record = reader.records().next().unwrap().unwrap();
        assert_eq!((&record[0], &record[2], &record[8]), ("'=1+1.jpg", "'@SUM(A1)", "'-1+1"));
    }
}

#[test]
fn the_same_store_gives_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let store = labelled(&directory.path().join("store"));
    for format in ["npy", "parquet", "csv"] {
        let format: ExportFormat = format.parse().unwrap();
        let read = |out: &str| -> Vec<Vec<u8>> {
            let exported = store.export(format, directory.path().join(out)).unwrap();
            exported.files.iter().map(|path| fs_err::read(path).unwrap()).collect()
        };
        assert_eq!(read("one"), read("two"), "{format}");
    }
    let message = "xlsx".parse::<ExportFormat>().unwrap_err().to_string();
    assert!(message.contains("`npy`, `parquet` or `csv`"), "{message}");
}
