use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{Float32Builder, ListBuilder};
use arrow_array::{ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray};
use half::f16;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{ImportError, ImportFiles, ImportedRows};

/// A file in NumPy's format.
fn npy(dtype: &str, fortran: bool, shape: &str, values: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn written(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    fs_err::write(&path, bytes).unwrap();
    path
}

fn files(path: PathBuf) -> ImportFiles {
    ImportFiles { embeddings: path, ..ImportFiles::default() }
}

/// All rows: embedding, mirrored, taps.
type Found = Vec<(Option<Vec<f32>>, Option<Vec<f32>>, Vec<f32>)>;

fn read(files: &ImportFiles) -> Result<Found, ImportError> {
    let mut found = Vec::new();
    ImportedRows::open(files)?.for_each(|row| {
        let owned = |values: Option<&[f32]>| values.map(<[f32]>::to_vec);
        assert_eq!(row.number, found.len());
        found.push((owned(row.embedding), owned(row.mirrored), row.taps.to_vec()));
        Ok::<(), ImportError>(())
    })?;
    Ok(found)
}

/// The names and texts of the columns of texts.
fn texts(rows: &ImportedRows) -> Vec<(&str, Vec<&str>)> {
    let columns = rows.text_columns().iter();
    columns.map(|c| (c.name.as_str(), c.texts.iter().map(String::as_str).collect())).collect()
}

fn embeddings(path: PathBuf) -> Result<Vec<Option<Vec<f32>>>, ImportError> {
    Ok(read(&files(path))?.into_iter().map(|row| row.0).collect())
}

fn some(rows: &[[f32; 2]]) -> Vec<Option<Vec<f32>>> {
    rows.iter().map(|row| Some(row.to_vec())).collect()
}

const ROWS: [[f32; 2]; 3] = [[1.0, 2.0], [3.0, 4.5], [-5.0, 0.25]];

#[test]
fn npy_files_of_every_float_and_order_give_the_same_rows() {
    let directory = tempfile::tempdir().unwrap();
    let plain: Vec<f32> = ROWS.concat();
    let by_column = [1.0, 3.0, -5.0, 2.0, 4.5, 0.25];
    let halves: Vec<u8> = plain.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
    let doubles: Vec<u8> = plain.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect();
    for (name, bytes) in [
        ("f4.npy", npy("<f4", false, "(3, 2)", &floats(&plain))),
        ("f4-fortran.npy", npy("<f4", true, "(3, 2)", &floats(&by_column))),
        ("f2.npy", npy("<f2", false, "(3, 2)", &halves)),
        ("f8.npy", npy("<f8", false, "(3, 2)", &doubles)),
    ] {
        let path = written(directory.path(), name, &bytes);
        assert_eq!(embeddings(path).unwrap(), some(&ROWS), "{name}");
    }
}

#[test]
fn large_matrices_are_read_in_blocks_in_both_orders() {
    let directory = tempfile::tempdir().unwrap();
    // More rows of 4,096 values than a block has.
    let (rows, width) = (700, 4096);
    let value = |row: usize, column: usize| (row * 7 + column) as f32;
    let c: Vec<f32> = (0..rows * width).map(|at| value(at / width, at % width)).collect();
    let fortran: Vec<f32> = (0..rows * width).map(|at| value(at % rows, at / rows)).collect();
    for (order, values) in [(false, c), (true, fortran)] {
        let bytes = npy("<f4", order, "(700, 4096)", &floats(&values));
        let path = written(directory.path(), "large.npy", &bytes);
        for (row, found) in embeddings(path).unwrap().into_iter().enumerate() {
            let expected: Vec<f32> = (0..width).map(|column| value(row, column)).collect();
            assert!(found == Some(expected), "row {row}");
        }
    }
}

#[test]
fn other_arrays_are_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let values = floats(&ROWS.concat());
    let mut nan = values.clone();
    nan[12..16].copy_from_slice(&f32::NAN.to_le_bytes());
    let huge: Vec<u8> = [1.0, 1e300].iter().flat_map(|v: &f64| v.to_le_bytes()).collect();
    for (bytes, expected) in [
        (npy(">f4", false, "(3, 2)", &values), "found dtype `>f4`; save it with"),
        (npy("<i8", false, "(3, 2)", &values), "found dtype `<i8`"),
        (npy("|O", false, "(3,)", &values), "numpy.stack(rows)"),
        (npy("<f4", false, "(6,)", &values), "an array of shape [6]; reshape it"),
        (npy("<f4", false, "(3, 1, 2)", &values), "an array of shape [3, 1, 2]"),
        (npy("<f4", false, "(3, 0)", &values), "rows of 1 to 65536 values, found 3 rows of 0"),
        (npy("<f4", false, "(4, 2)", &values), "expected 32 bytes of values, found 24"),
        (npy("<f4", false, "(4611686018427387904, 2)", &values), "a matrix, found one of"),
        (npy("<f4", false, "(3, 2)", &nan), "row 1 (from 0): expected finite values"),
        (npy("<f8", false, "(1, 2)", &huge), "found inf in column 1"),
        (b"PK\x03\x04 and more".to_vec(), "an array in NumPy's format"),
        (npy("<f4", false, "(3, 2)", &values)[..30].to_vec(), "ends in its header"),
    ] {
        let message =
            embeddings(written(directory.path(), "x.npy", &bytes)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let path = written(directory.path(), "x.pt", &values);
    assert!(embeddings(path).unwrap_err().to_string().contains("the ending `.pt`"));
}

#[test]
fn npz_files_have_their_parts_by_name_compressed_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let matrix = |values: &[f32], shape: &str| npy("<f4", false, shape, &floats(values));
    let mirrored = [-1.0, -2.0, -3.0, -4.5, 5.0, -0.25];
    let taps = [0.1, 0.2, 0.3];
    let wide = |texts: &[&str]| -> Vec<u8> {
        let padded = |text: &&str| -> Vec<u8> {
            let characters = text.chars().map(u32::from).chain(std::iter::repeat(0)).take(5);
            characters.flat_map(u32::to_le_bytes).collect()
        };
        texts.iter().flat_map(padded).collect()
    };
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(method);
        for (name, bytes) in [
            ("paths", npy("<U5", false, "(3,)", &wide(&["ä.jpg", "b.jpg", "c"]))),
            ("labels", npy("<i8", false, "(3,)", &[0; 24])),
            ("two", npy("<U5", false, "(2,)", &wide(&["a", "b"]))),
            ("embeddings", matrix(&ROWS.concat(), "(3, 2)")),
            ("mirrored", matrix(&mirrored, "(3, 2)")),
            ("taps", matrix(&taps, "(3, 1)")),
            ("mirrored_taps", matrix(&taps, "(3, 1)")),
        ] {
            archive.start_file(format!("{name}.npy"), options).unwrap();
            archive.write_all(&bytes).unwrap();
        }
        let bytes = archive.finish().unwrap().into_inner();
        let path = written(directory.path(), "x.npz", &bytes);
        let unnamed = ImportedRows::open(&files(path.clone())).unwrap();
        assert_eq!(texts(&unnamed), [("paths", vec!["ä.jpg", "b.jpg", "c"])]);
        let files = ImportFiles { key: Some("paths".to_owned()), ..files(path.clone()) };
        let rows = ImportedRows::open(&files).unwrap();
        assert_eq!((rows.len(), rows.lengths(), rows.has_mirrored()), (3, (2, 1), true));
        assert_eq!(texts(&rows), [("paths", vec!["ä.jpg", "b.jpg", "c"])]);
        let found = read(&files).unwrap();
        assert_eq!(found[1], (Some(vec![3.0, 4.5]), Some(vec![-3.0, -4.5]), vec![0.2]));
        let short = ImportFiles { key: Some("two".to_owned()), ..files.clone() };
        let message = ImportedRows::open(&short).unwrap_err().to_string();
        assert!(message.contains("expected 3 paths, one for each row of the embeddings, found 2"));
        let other = ImportFiles { key: Some("names".to_owned()), ..files };
        let message = ImportedRows::open(&other).unwrap_err().to_string();
        assert!(
            message.contains("expected an array `names`, found the arrays `paths`"),
            "{message}"
        );
    }
}

#[test]
fn arrays_of_npz_files_are_compared_with_their_checksums() {
    let directory = tempfile::tempdir().unwrap();
    let values = floats(&ROWS.concat());
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(method);
        archive.start_file("embeddings.npy", options).unwrap();
        archive.write_all(&npy("<f4", false, "(3, 2)", &values)).unwrap();
        let bytes = archive.finish().unwrap().into_inner();
        let whole = embeddings(written(directory.path(), "x.npz", &bytes)).unwrap();
        assert_eq!(whole, some(&ROWS), "{method:?}");
        // The checksum in the archive's directory, which lies behind the values.
        let directory_at = bytes.windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
        let mut other = bytes.clone();
        other[directory_at + 16] ^= 1;
        let message = embeddings(written(directory.path(), "y.npz", &other)).unwrap_err();
        assert!(message.to_string().contains("the file is damaged"), "{method:?}: {message}");
        if method == CompressionMethod::Stored {
            let mut other = bytes.clone();
            let at = bytes.windows(values.len()).position(|found| found == values).unwrap();
            other[at + 5] ^= 0x40;
            let message = embeddings(written(directory.path(), "z.npz", &other)).unwrap_err();
            let expected = "z.npz[embeddings]`: expected the bytes that were packed";
            assert!(message.to_string().contains(expected), "{message}");
        }
    }
}

fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>, compression: Compression) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(2))
        .build();
    let file = fs_err::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn lists(rows: &[Option<&[Option<f32>]>]) -> ArrayRef {
    let mut builder = ListBuilder::new(Float32Builder::new());
    for row in rows {
        builder.append_option(row.map(|row| row.iter().copied()));
    }
    Arc::new(builder.finish())
}

#[test]
fn parquet_files_of_lists_and_of_numbered_columns_give_the_same_rows() {
    let directory = tempfile::tempdir().unwrap();
    let list: Vec<Vec<Option<f32>>> =
        ROWS.iter().map(|row| row.iter().copied().map(Some).collect()).collect();
    let list: Vec<Option<&[Option<f32>]>> = list.iter().map(|row| Some(row.as_slice())).collect();
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a.jpg", "b.jpg", "c.jpg"]));
    let column =
        |at: usize| -> ArrayRef { Arc::new(Float32Array::from(ROWS.map(|row| row[at]).to_vec())) };
    let norm: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0]));
    let path = directory.path().join("x.parquet");
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4_RAW,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        // The norm is one number a row, and no matrix.
        let columns = vec![("path", names.clone()), ("norm", norm.clone()), ("clip", lists(&list))];
        parquet(&path, columns, compression);
        assert_eq!(embeddings(path.clone()).unwrap(), some(&ROWS), "{compression:?}");
    }
    let numbered = vec![("e_1", column(1)), ("norm", norm.clone()), ("e_0", column(0))];
    parquet(&path, numbered, Compression::SNAPPY);
    assert_eq!(embeddings(path.clone()).unwrap(), some(&ROWS));
    let bare = vec![("path", names.clone()), ("0", column(0)), ("1", column(1))];
    parquet(&path, bare, Compression::SNAPPY);
    assert_eq!(embeddings(path.clone()).unwrap(), some(&ROWS));
    for key in [None, Some("path".to_owned())] {
        let files = ImportFiles { key, ..files(path.clone()) };
        let rows = ImportedRows::open(&files).unwrap();
        assert_eq!(texts(&rows), [("path", vec!["a.jpg", "b.jpg", "c.jpg"])]);
    }
    // All columns of texts are read, those first that are named as paths are. A row may lack another text.
    let image: ArrayRef = Arc::new(StringArray::from(vec![Some("3.jpg"), None, Some("1.jpg")]));
    let several = vec![("image", image.clone()), ("clip", lists(&list)), ("file", names.clone())];
    parquet(&path, several, Compression::SNAPPY);
    let rows = ImportedRows::open(&files(path.clone())).unwrap();
    let expected =
        [("file", vec!["a.jpg", "b.jpg", "c.jpg"]), ("image", vec!["3.jpg", "", "1.jpg"])];
    assert_eq!(texts(&rows), expected);
    assert_eq!(
        rows.text_columns().iter().map(|c| c.is_path_name).collect::<Vec<_>>(),
        [true, false]
    );
    let asked = ImportFiles { key: Some("image".to_owned()), ..files(path.clone()) };
    let message = ImportedRows::open(&asked).unwrap_err().to_string();
    assert!(
        message.contains("row 1 (from 0): expected a text in `image`, found null"),
        "{message}"
    );

    let two = vec![("clip", lists(&list)), ("dino", lists(&list))];
    parquet(&path, two, Compression::SNAPPY);
    let message = embeddings(path.clone()).unwrap_err().to_string();
    assert!(
        message.contains("or one named `embeddings`, found the columns `clip`, `dino`"),
        "{message}"
    );
    // A column is missing, or of integers: the others are no matrix, and nothing else is taken for it.
    let gap = vec![("e_0", column(0)), ("e_2", column(1))];
    parquet(&path, gap.clone(), Compression::SNAPPY);
    let message = embeddings(path.clone()).unwrap_err().to_string();
    assert!(message.contains("`e_2` where a column of floats `e_1` should be"), "{message}");
    let others = [("p_0", column(0)), ("p_1", column(1))];
    parquet(&path, gap.into_iter().chain(others).collect(), Compression::SNAPPY);
    let message = embeddings(path.clone()).unwrap_err().to_string();
    assert!(message.contains("found the columns `e`, `p`"), "{message}");
    parquet(&path, vec![("norm", norm)], Compression::SNAPPY);
    let message = embeddings(path).unwrap_err().to_string();
    assert!(message.contains("found the columns `norm` (Float64)"), "{message}");
}

#[test]
fn rows_without_values_are_known_as_such_and_others_must_be_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    let whole: &[Option<f32>] = &[Some(1.0), Some(2.0)];
    let of = |rows: &[Option<&[Option<f32>]>]| {
        parquet(&path, vec![("embedding", lists(rows))], Compression::SNAPPY);
        embeddings(path.clone()).map_err(|error| error.to_string())
    };
    assert_eq!(of(&[None, Some(whole)]).unwrap(), [None, Some(vec![1.0, 2.0])]);
    let message = of(&[Some(whole), Some(whole), Some(&[Some(1.0)])]).unwrap_err();
    assert!(message.contains("row 2 (from 0): expected 2 values"), "{message}");
    let message = of(&[Some(whole), Some(&[Some(1.0), None])]).unwrap_err();
    assert!(message.contains("row 1 (from 0): expected finite values"), "{message}");
    assert!(of(&[None]).unwrap_err().contains("1 rows of 0"));
}

#[test]
fn parts_that_do_not_fit_to_the_embeddings_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, shape: &str, values: &[f32]| {
        written(directory.path(), name, &npy("<f4", false, shape, &floats(values)))
    };
    let main = file("main.npy", "(3, 2)", &ROWS.concat());
    let other = |change: &dyn Fn(&mut ImportFiles)| {
        let mut files = files(main.clone());
        change(&mut files);
        read(&files).unwrap_err().to_string()
    };
    let short = file("short.npy", "(2, 2)", &[0.0; 4]);
    let message = other(&|files| files.mirrored = Some(short.clone()));
    assert!(message.contains("has 2 rows of mirrored embeddings"), "{message}");
    let wide = file("wide.npy", "(3, 3)", &[0.0; 9]);
    let message = other(&|files| files.mirrored = Some(wide.clone()));
    assert!(message.contains("expected mirrored embeddings of 2 values, found 3"), "{message}");
    let message = other(&|files| {
        files.mirrored = Some(main.clone());
        files.taps = Some(wide.clone());
    });
    assert!(message.contains("expected taps of the mirrored pictures"), "{message}");
    let message = other(&|files| files.key = Some("path".to_owned()));
    assert!(message.contains("an NPY file, which has no names"), "{message}");
}
