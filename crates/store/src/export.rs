//! The store as files for other tools: one row per label row with an embedding.
//!
//! The same store gives the same bytes: there are no times in the files, and floats are written
//! as the shortest decimal that reads back to the same bits.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use facefold_core::text::cell;
use facefold_core::{BoundingBox, Extraction, FaceVariant, ImageKey, Sample};
use fs_err as fs;
use ndarray::Array2;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::disk::{self, PartialFile};
use crate::error::StoreError;
use crate::matrix::{Features, Select};
use crate::npy;
use crate::samples::SampleRow;
use crate::shard::{self, FaceSummary, Kind};
use crate::store::Store;
use crate::table;

/// Rows loaded at once: at most about 100 MB, with taps.
const ROWS: usize = 8192;

/// What an export is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// `embeddings.npy` (and `taps.npy`), with `index.csv` for its rows.
    Npy,
    /// `embeddings.parquet`.
    Parquet,
    /// `embeddings.csv`.
    Csv,
}

/// A text that names no export format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a format `npy`, `parquet` or `csv`, found `{0}`")]
pub struct InvalidExportFormat(String);

impl fmt::Display for ExportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Npy => "npy",
            Self::Parquet => "parquet",
            Self::Csv => "csv",
        })
    }
}

impl FromStr for ExportFormat {
    type Err = InvalidExportFormat;

    fn from_str(text: &str) -> Result<Self, InvalidExportFormat> {
        match text {
            "npy" => Ok(Self::Npy),
            "parquet" => Ok(Self::Parquet),
            "csv" => Ok(Self::Csv),
            _ => Err(InvalidExportFormat(text.to_owned())),
        }
    }
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Exported {
    /// The files written.
    pub files: Vec<PathBuf>,
    /// Label rows in them.
    pub rows: usize,
    /// Label rows that have no embedding.
    pub left_out: usize,
}

/// The columns in addition to the embedding, in order.
const COLUMNS: [&str; 17] = [
    "path",
    "key",
    "subject",
    "fold",
    "split",
    "gender",
    "age",
    "race",
    "class",
    "label_conflict",
    "status",
    "faces_found",
    "norm",
    "score",
    "luminance",
    "sharpness",
    "bounding_box",
];

/// A label row that has an embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedSample {
    /// The label row.
    pub sample: Sample,
    /// The key of its picture, by which [`Store::load_matrix`] finds the embedding.
    pub key: ImageKey,
    /// The numbers of its main face.
    pub face: FaceSummary,
}

impl Store {
    /// Writes every label row that has an embedding into `directory`, in the order of the samples
    /// table: labels, the plain crop's embedding, and its taps where the store has them.
    ///
    /// An earlier export of the same format makes room first, and what a killed one left unfinished.
    /// `index.csv` goes first and comes last: where it is, the matrices next to it are its own.
    ///
    /// # Errors
    /// [`StoreError::NoSamples`], [`StoreError::IntoStore`], a corrupt file, or a failure to write.
    pub fn export(
        &self,
        format: ExportFormat,
        directory: impl AsRef<Path>,
    ) -> Result<Exported, StoreError> {
        let directory = directory.as_ref();
        if directory.join("store.json").exists() {
            return Err(StoreError::IntoStore { path: directory.to_owned() });
        }
        let samples = self.samples()?;
        let all = samples.len();
        let rows = self.with_faces(samples)?;
        fs::create_dir_all(directory)?;
        disk::remove_partial_files(directory)?;
        let files = match format {
            ExportFormat::Npy => self.export_npy(&rows, directory)?,
            ExportFormat::Parquet => vec![self.export_parquet(&rows, directory)?],
            ExportFormat::Csv => vec![self.export_csv(&rows, directory)?],
        };
        Ok(Exported { files, rows: rows.len(), left_out: all - rows.len() })
    }

    /// Every label row that has an embedding, in the order of the samples table: the rows of
    /// [`Self::export`].
    ///
    /// # Errors
    /// [`StoreError::NoSamples`], or a corrupt file.
    pub fn embedded_samples(&self) -> Result<Vec<EmbeddedSample>, StoreError> {
        self.with_faces(self.samples()?)
    }

    fn with_faces(&self, samples: Vec<SampleRow>) -> Result<Vec<EmbeddedSample>, StoreError> {
        let faces = self.main_faces()?;
        let embedded = samples.into_iter().filter_map(|SampleRow { sample, key, .. }| {
            let key = key?;
            Some(EmbeddedSample { sample, key, face: *faces.get(&key)? })
        });
        Ok(embedded.collect())
    }

    /// The numbers in addition to the plain embedding of every picture's main face.
    ///
    /// # Errors
    /// [`StoreError`] where a shard or the log is corrupt or cannot be read.
    pub fn main_faces(&self) -> Result<HashMap<ImageKey, FaceSummary>, StoreError> {
        let mut all = HashMap::new();
        self.for_each_main_face(|key, face| {
            all.insert(key, face);
        })?;
        Ok(all)
    }

    /// Calls `each` with what [`Self::main_faces`] gives, picture by picture: a map of millions takes gigabytes.
    ///
    /// # Errors
    /// As [`Self::main_faces`].
    pub fn for_each_main_face(
        &self,
        mut each: impl FnMut(ImageKey, FaceSummary),
    ) -> Result<(), StoreError> {
        for shard in self.index.shards_of(Kind::Embeddings) {
            shard::for_each_main_face(&self.layout, &shard.name, &mut each)?;
        }
        for entry in self.logged.values() {
            if let Extraction::Embedded { faces, found } = self.read_logged(entry)?.extraction {
                let plain = |face: &&facefold_core::Face| {
                    face.index == 0 && face.variant == FaceVariant::PLAIN
                };
                if let Some(face) = faces.iter().find(plain) {
                    each(entry.key, FaceSummary::of(face, found));
                }
            }
        }
        Ok(())
    }

    fn chunk(
        &self,
        rows: &[EmbeddedSample],
        features: Features,
    ) -> Result<Array2<f32>, StoreError> {
        let keys: Vec<ImageKey> = rows.iter().map(|row| row.key).collect();
        self.load_matrix(&Select { variant: FaceVariant::PLAIN, features, keys: &keys })
    }

    /// The names of the files' matrices and what is in them.
    fn parts(&self) -> Vec<(&'static str, Features, usize)> {
        let (embedding, taps) = self.header.lengths();
        let mut parts = vec![("embeddings", Features::Embedding, embedding)];
        if taps > 0 {
            parts.push(("taps", Features::Taps, taps));
        }
        parts
    }

    fn export_npy(
        &self,
        rows: &[EmbeddedSample],
        directory: &Path,
    ) -> Result<Vec<PathBuf>, StoreError> {
        let index = directory.join("index.csv");
        for earlier in [&index, &directory.join("embeddings.npy"), &directory.join("taps.npy")] {
            if earlier.exists() {
                disk::remove_file(earlier)?;
            }
        }
        let mut files = Vec::new();
        for (name, features, width) in self.parts() {
            let path = directory.join(format!("{name}.npy"));
            let mut file = BufWriter::new(PartialFile::new(directory)?);
            file.write_all(&npy::header(rows.len(), width))?;
            for rows in rows.chunks(ROWS) {
                let matrix = self.chunk(rows, features)?;
                file.write_all(bytemuck::cast_slice(matrix.as_slice().unwrap_or_default()))?;
            }
            file.into_inner().map_err(std::io::IntoInnerError::into_error)?.persist(&path)?;
            files.push(path);
        }
        let file = PartialFile::new(directory)?;
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(COLUMNS)?;
        for row in rows {
            writer.write_record(row.csv_cells())?;
        }
        finish_csv(writer)?.persist(&index)?;
        files.push(index);
        Ok(files)
    }

    fn export_csv(&self, rows: &[EmbeddedSample], directory: &Path) -> Result<PathBuf, StoreError> {
        let path = directory.join("embeddings.csv");
        let (embedding, taps) = self.header.lengths();
        let mut writer = csv::Writer::from_writer(PartialFile::new(directory)?);
        let values = (0..embedding)
            .map(|place| format!("embedding_{place}"))
            .chain((0..taps).map(|place| format!("taps_{place}")));
        writer.write_record(COLUMNS.iter().map(|&name| name.to_owned()).chain(values))?;
        let features = if taps > 0 { Features::Both } else { Features::Embedding };
        for rows in rows.chunks(ROWS) {
            let matrix = self.chunk(rows, features)?;
            for (row, values) in rows.iter().zip(matrix.rows()) {
                let values = values.iter().map(ToString::to_string);
                writer.write_record(row.csv_cells().into_iter().chain(values))?;
            }
        }
        finish_csv(writer)?.persist(&path)?;
        Ok(path)
    }

    fn export_parquet(
        &self,
        rows: &[EmbeddedSample],
        directory: &Path,
    ) -> Result<PathBuf, StoreError> {
        let path = directory.join("embeddings.parquet");
        let parquet = |source| StoreError::parquet(&path, source);
        let parts = self.parts();
        let mut fields: Vec<Field> = COLUMNS.map(column_field).to_vec();
        for (name, _, width) in &parts {
            // A column of one row's values is called as in the store: embedding, taps.
            let name = if *name == "embeddings" { "embedding" } else { name };
            fields.push(Field::new(name, table::floats_type(*width), false));
        }
        let schema = Arc::new(Schema::new(fields));
        let level = ZstdLevel::try_new(3).map_err(parquet)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_dictionary_enabled(false)
            .build();
        let mut file = PartialFile::new(directory)?;
        let mut writer = ArrowWriter::try_new(&mut file, Arc::clone(&schema), Some(properties))
            .map_err(parquet)?;
        for rows in rows.chunks(ROWS) {
            let mut columns: Vec<ArrayRef> =
                (0..COLUMNS.len()).map(|place| column_of(rows, place)).collect();
            for (_, features, width) in &parts {
                let (values, _) = self.chunk(rows, *features)?.into_raw_vec_and_offset();
                columns.push(Arc::new(table::floats(values, *width)?));
            }
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
            writer.write(&batch).map_err(parquet)?;
        }
        writer.close().map_err(parquet)?;
        file.persist(&path)?;
        Ok(path)
    }
}

impl EmbeddedSample {
    /// As [`Self::cells`], with texts that no spreadsheet runs.
    fn csv_cells(&self) -> [String; COLUMNS.len()] {
        let mut cells = self.cells();
        for (text, name) in cells.iter_mut().zip(COLUMNS) {
            if TEXTS.contains(&name) {
                *text = cell(text).into_owned();
            }
        }
        cells
    }

    /// One text a column of [`COLUMNS`]; empty where unknown.
    fn cells(&self) -> [String; COLUMNS.len()] {
        let Self { sample, key, face } = self;
        let BoundingBox { left, top, right, bottom } = face.bounding_box;
        [
            sample.path.to_string_lossy().into_owned(),
            key.to_string(),
            sample.subject.as_ref().map(ToString::to_string).unwrap_or_default(),
            sample.fold.map(|fold| fold.to_string()).unwrap_or_default(),
            sample.split.map(|split| split.to_string()).unwrap_or_default(),
            sample.gender.map(|gender| gender.letter().to_owned()).unwrap_or_default(),
            sample.raw_age.clone(),
            sample.race.clone().unwrap_or_default(),
            sample.class.clone().unwrap_or_default(),
            u8::from(sample.label_conflict).to_string(),
            "embedded".to_owned(),
            face.found.to_string(),
            face.norm.map(|norm| norm.to_string()).unwrap_or_default(),
            face.score.to_string(),
            face.luminance.to_string(),
            face.sharpness.to_string(),
            format!("{left} {top} {right} {bottom}"),
        ]
    }
}

/// The columns of texts from elsewhere.
const TEXTS: [&str; 5] = ["path", "subject", "age", "race", "class"];

/// The numbers among the columns keep their type in Parquet; all else is text.
fn column_field(name: &str) -> Field {
    match name {
        "norm" => Field::new(name, DataType::Float32, true),
        "score" | "luminance" | "sharpness" => Field::new(name, DataType::Float32, false),
        "faces_found" => Field::new(name, DataType::UInt32, false),
        "subject" | "fold" | "split" | "gender" | "race" | "class" => {
            Field::new(name, DataType::Utf8, true)
        }
        _ => Field::new(name, DataType::Utf8, false),
    }
}

fn column_of(rows: &[EmbeddedSample], place: usize) -> ArrayRef {
    let float = |value: fn(&FaceSummary) -> Option<f32>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| value(&row.face)).collect::<Float32Array>())
    };
    let field = column_field(COLUMNS[place]);
    match field.name().as_str() {
        "norm" => float(|face| face.norm),
        "score" => float(|face| Some(face.score)),
        "luminance" => float(|face| Some(face.luminance)),
        "sharpness" => float(|face| Some(face.sharpness)),
        "faces_found" => {
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.face.found)))
        }
        _ => {
            let cells = rows.iter().map(|row| std::mem::take(&mut row.cells()[place]));
            let known =
                cells.map(|cell| (!field.is_nullable() || !cell.is_empty()).then_some(cell));
            Arc::new(known.collect::<StringArray>())
        }
    }
}

fn finish_csv<W: Write>(writer: csv::Writer<W>) -> Result<W, StoreError> {
    writer.into_inner().map_err(|error| StoreError::Io(error.into_error()))
}
