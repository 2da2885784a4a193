//! Parquet files by pyarrow, pandas, polars or `DuckDB`: a column of lists of floats, or numbered columns
//! of floats (`embedding_0`, `embedding_1`, …).

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type};
use arrow_array::{Array, ListArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field};
use fs_err as fs;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::errors::ParquetError;

use super::{BLOCK_BYTES, Block, ImportError, Part, choose};

type Builder = ParquetRecordBatchReaderBuilder<File>;

/// Rows that are looked through at once for the length of the lists.
const FIRST: usize = 64;

/// A matrix of floats: one column of lists, or the columns of its columns.
#[derive(Debug)]
pub(super) struct Matrix {
    path: PathBuf,
    /// Numbers of its columns among those of the file, in the order of the matrix.
    columns: Vec<usize>,
    lists: bool,
    rows: usize,
    width: usize,
}

/// Columns that can be read as a matrix.
struct Candidate {
    name: String,
    columns: Vec<usize>,
    lists: bool,
    /// What is wrong with numbered columns.
    gap: Option<String>,
}

fn failed(path: &Path) -> impl Fn(ParquetError) -> ImportError + '_ {
    |source| ImportError::Parquet { path: path.to_owned(), source }
}

/// Opens a file. Types are those of Parquet: what pandas or polars would make of them does not matter.
fn open(path: &Path) -> Result<Builder, ImportError> {
    let file = fs::File::open(path)?.into_parts().0;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    Builder::try_new_with_options(file, options).map_err(failed(path))
}

impl Matrix {
    pub(super) fn open(path: &Path, part: Part, alone: bool) -> Result<Option<Self>, ImportError> {
        let builder = open(path)?;
        let fields: Vec<&Field> = builder.schema().fields().iter().map(AsRef::as_ref).collect();
        let mut candidates = candidates(&fields);
        if alone && candidates.is_empty() {
            let columns: Vec<String> =
                fields.iter().map(|f| format!("`{}` ({})", f.name(), f.data_type())).collect();
            return Err(ImportError::file(
                path,
                "a column of lists of floats, or numbered columns of floats (`embedding_0`, `embedding_1`, …)",
                format!("the columns {}", columns.join(", ")),
                "write the embeddings so",
            ));
        }
        let names: Vec<&str> = candidates.iter().map(|found| found.name.as_str()).collect();
        let Some(index) = choose(path, &names, part, alone, "columns")? else { return Ok(None) };
        let Candidate { columns, lists, gap, .. } = candidates.swap_remove(index);
        if let Some(gap) = gap {
            return Err(ImportError::file(
                path,
                "numbered columns of floats without a gap, from 0 or 1 on",
                gap,
                "write all of them as floats, or as one column of lists",
            ));
        }
        check_compression(path, &builder, &columns)?;
        let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let mut matrix = Self { path: path.to_owned(), width: columns.len(), columns, lists, rows };
        if matrix.lists {
            matrix.width = matrix.first_length()?;
        }
        Ok(Some(matrix))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn blocks(&self) -> Result<Blocks<'_>, ImportError> {
        let rows = (BLOCK_BYTES / (self.width.max(1) * size_of::<f32>())).clamp(1, 8192);
        // A reader gives columns in the order of the file.
        let mut places: Vec<usize> = (0..self.columns.len()).collect();
        places.sort_by_key(|&place| self.columns[place]);
        Ok(Blocks { matrix: self, reader: self.reader(rows)?, places, row: 0 })
    }

    fn reader(&self, rows: usize) -> Result<ParquetRecordBatchReader, ImportError> {
        let builder = open(&self.path)?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), self.columns.iter().copied());
        let reader = builder.with_projection(mask).with_batch_size(rows).build();
        reader.map_err(failed(&self.path))
    }

    /// The length of the first list; 0 where there is none.
    fn first_length(&self) -> Result<usize, ImportError> {
        for batch in self.reader(FIRST)? {
            let batch = batch.map_err(|error| failed(&self.path)(error.into()))?;
            let lists = list(&self.path, &batch)?;
            if let Some(row) = (0..lists.len()).find(|&row| lists.is_valid(row)) {
                return Ok(lists.value(row).len());
            }
        }
        Ok(0)
    }
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

/// What could be a matrix: columns of lists of floats, and families of numbered columns of floats.
fn candidates(fields: &[&Field]) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut families: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
    for (column, field) in fields.iter().enumerate() {
        let name = field.name().as_str();
        match field.data_type() {
            DataType::List(item) if is_float(item.data_type()) => {
                found.push(Candidate {
                    name: name.to_owned(),
                    columns: vec![column],
                    lists: true,
                    gap: None,
                });
            }
            data_type if is_float(data_type) => {
                let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
                if let Ok(number) = name[stem.len()..].parse() {
                    families.entry(stem).or_default().push((number, column));
                }
            }
            _ => {}
        }
    }
    for (stem, mut columns) in families {
        columns.sort_unstable();
        let first = columns.first().map_or(0, |&(number, _)| number);
        let expected = |at: usize| first.min(1) + at;
        let gap = columns.iter().enumerate().find(|(at, (number, _))| *number != expected(*at));
        let gap = gap.map(|(at, (number, _))| {
            format!("`{stem}{number}` where a column of floats `{stem}{}` should be", expected(at))
        });
        if columns.len() > 1 {
            let name = stem.trim_end_matches(['_', '-', '.', ' ']).to_owned();
            let columns = columns.into_iter().map(|(_, column)| column).collect();
            found.push(Candidate { name, columns, lists: false, gap });
        }
    }
    found
}

/// Refuses compression that this program does not have, before a reader fails at it.
fn check_compression(path: &Path, builder: &Builder, columns: &[usize]) -> Result<(), ImportError> {
    let schema = builder.parquet_schema();
    for group in builder.metadata().row_groups() {
        for (leaf, chunk) in group.columns().iter().enumerate() {
            let used = columns.contains(&schema.get_column_root_idx(leaf));
            if let (true, Compression::BROTLI(_) | Compression::LZO) = (used, chunk.compression()) {
                return Err(ImportError::file(
                    path,
                    "columns without compression or with Snappy, LZ4, Zstandard or gzip",
                    format!("{} in `{}`", chunk.compression(), chunk.column_path()),
                    "write the file with one of these, such as `compression='zstd'`",
                ));
            }
        }
    }
    Ok(())
}

/// The rows of a matrix, some at a time.
pub(super) struct Blocks<'a> {
    matrix: &'a Matrix,
    reader: ParquetRecordBatchReader,
    /// The column of the matrix that each column of the file is.
    places: Vec<usize>,
    row: usize,
}

impl Blocks<'_> {
    /// Reads the next rows.
    pub(super) fn read(&mut self, block: &mut Block) -> Result<(), ImportError> {
        let Matrix { path, lists, .. } = self.matrix;
        let Some(batch) = self.reader.next() else { return Ok(()) };
        let batch = batch.map_err(|error| failed(path)(error.into()))?;
        if *lists {
            self.add_lists(list(path, &batch)?, block)?;
        } else {
            add_columns(&batch, &self.places, block);
        }
        self.row += batch.num_rows();
        Ok(())
    }

    fn add_lists(&self, lists: &ListArray, block: &mut Block) -> Result<(), ImportError> {
        let Matrix { path, width, .. } = self.matrix;
        for row in 0..lists.len() {
            block.missing.push(lists.is_null(row));
            if lists.is_null(row) {
                block.values.extend(std::iter::repeat_n(0.0, *width));
                continue;
            }
            let values = lists.value(row);
            if values.len() != *width {
                return Err(ImportError::Row {
                    path: path.clone(),
                    row: self.row + row,
                    expected: format!("{width} values, as the first row has"),
                    found: format!("{}", values.len()),
                    remedy: "write rows of one network",
                });
            }
            let start = block.values.len();
            block.values.resize(start + width, 0.0);
            each_value(&values, |at, value| block.values[start + at] = value);
        }
        Ok(())
    }
}

/// Adds rows whose values are in a column each. A row without any value is missing.
fn add_columns(batch: &RecordBatch, places: &[usize], block: &mut Block) {
    let (rows, width) = (batch.num_rows(), places.len());
    block.values.resize(rows * width, 0.0);
    for (&place, column) in places.iter().zip(batch.columns()) {
        each_value(column, |row, value| block.values[row * width + place] = value);
    }
    let missing = |row| batch.columns().iter().all(|column| column.is_null(row));
    block.missing.extend((0..rows).map(missing));
}

/// Calls `each` with the values of a column of floats; what is null is not a number.
fn each_value(array: &dyn Array, mut each: impl FnMut(usize, f32)) {
    let mut give = |at: usize, value: f32| {
        each(at, if array.is_null(at) { f32::NAN } else { value });
    };
    if let Some(values) = array.as_primitive_opt::<Float32Type>() {
        values.values().iter().enumerate().for_each(|(at, &value)| give(at, value));
    } else if let Some(values) = array.as_primitive_opt::<Float64Type>() {
        values.values().iter().enumerate().for_each(|(at, &value)| give(at, value as f32));
    } else if let Some(values) = array.as_primitive_opt::<Float16Type>() {
        values.values().iter().enumerate().for_each(|(at, value)| give(at, value.to_f32()));
    }
}

fn list<'a>(path: &Path, batch: &'a RecordBatch) -> Result<&'a ListArray, ImportError> {
    batch.columns().first().and_then(|column| column.as_list_opt::<i32>()).ok_or_else(|| {
        let what = "the column of lists has another type in its rows".to_owned();
        failed(path)(ParquetError::General(what))
    })
}

/// The names of the columns of texts.
pub(super) fn text_columns(path: &Path) -> Result<Vec<String>, ImportError> {
    let builder = open(path)?;
    let fields = builder.schema().fields().iter();
    let texts = fields.filter(|field| *field.data_type() == DataType::Utf8);
    Ok(texts.map(|field| field.name().clone()).collect())
}

/// The texts of a column. A row without one is refused where `whole`, else has an empty one.
pub(super) fn texts(path: &Path, name: &str, whole: bool) -> Result<Vec<String>, ImportError> {
    let builder = open(path)?;
    let fields = builder.schema().fields();
    let column = fields.iter().position(|field| field.name() == name);
    let Some(column) = column.filter(|&column| *fields[column].data_type() == DataType::Utf8)
    else {
        let columns: Vec<String> = fields
            .iter()
            .take(MOST_NAMED)
            .map(|field| format!("`{}` ({})", field.name(), field.data_type()))
            .collect();
        return Err(ImportError::file(
            path,
            format!("a column of texts `{name}`"),
            format!("the columns {}", columns.join(", ")),
            "name the column with the path of each row",
        ));
    };
    check_compression(path, &builder, &[column])?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), [column]);
    let reader = builder.with_projection(mask).build().map_err(failed(path))?;
    let mut texts = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| failed(path)(error.into()))?;
        let found: &StringArray = batch.column(0).as_string();
        for text in found {
            let text = text.or((!whole).then_some("")).ok_or_else(|| ImportError::Row {
                path: path.to_owned(),
                row: texts.len(),
                expected: format!("a text in `{name}`"),
                found: "null".to_owned(),
                remedy: "name the row's picture, or remove the row",
            })?;
            texts.push(text.to_owned());
        }
    }
    Ok(texts)
}

/// Columns that a message names.
const MOST_NAMED: usize = 40;
