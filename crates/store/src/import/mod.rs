//! Embeddings that another program made: NPY, NPZ and Parquet files, read some rows at a time.
//!
//! [`ImportedRows`] reads the embeddings and, where there are any, those of the mirrored pictures and
//! further features next to each other, row by row, whatever files they lie in. Memory is bounded by some
//! megabytes for each of them.

mod error;
mod npy;
mod npz;
mod parquet;

use std::path::{Path, PathBuf};

pub use error::ImportError;

/// Most values of a row: longer ones are a matrix that was not meant.
const MOST_VALUES: usize = 65_536;

/// Names that say that a column, or array, of texts has the paths of the rows' pictures.
const PATHS: [&str; 6] = ["path", "paths", "file", "files", "filename", "filenames"];

/// Bytes of values that are read at once.
const BLOCK_BYTES: usize = 4 << 20;

/// The files that rows are read from: `.npy`, `.npz` or `.parquet`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportFiles {
    /// The embeddings; an NPZ or Parquet file may have the other parts too, by their names.
    pub embeddings: PathBuf,
    /// Embeddings of the mirrored pictures, where they lie in a file of their own.
    pub mirrored: Option<PathBuf>,
    /// Further features of each row, kept as taps, where they lie in a file of their own.
    pub taps: Option<PathBuf>,
    /// The same of the mirrored pictures.
    pub mirrored_taps: Option<PathBuf>,
    /// The column (in NPZ files, array) of the embeddings' file that has the path of each row's picture.
    /// None for any column of texts that has those of the labels, else for rows in the order of the labels.
    pub key: Option<String>,
}

/// What a matrix of the rows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Embeddings,
    Mirrored,
    Taps,
    MirroredTaps,
}

impl Part {
    const ALL: [Self; 4] = [Self::Embeddings, Self::Mirrored, Self::Taps, Self::MirroredTaps];

    /// The names of its array or column.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Embeddings => &["embeddings", "embedding"],
            Self::Mirrored => &["mirrored"],
            Self::Taps => &["taps"],
            Self::MirroredTaps => &["mirrored_taps"],
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.names().contains(&name))
    }
}

/// A matrix of floats in a file.
#[derive(Debug)]
enum Matrix {
    Npy(npy::Matrix),
    Parquet(parquet::Matrix),
}

/// Consecutive rows of a matrix.
#[derive(Debug, Default)]
struct Block {
    values: Vec<f32>,
    /// For each row whether the file has no values for it.
    missing: Vec<bool>,
}

impl Matrix {
    /// A part of the rows in a file. `alone` where the file is given for this part, so that its only
    /// matrix is meant, whatever its name.
    fn open(path: &Path, part: Part, alone: bool) -> Result<Option<Self>, ImportError> {
        let matrix = match ending(path).as_str() {
            "npy" if alone => Some(Self::Npy(npy::Matrix::open(path)?)),
            "npy" => None,
            "npz" => npz::matrix(path, part, alone)?.map(Self::Npy),
            "parquet" | "pq" => parquet::Matrix::open(path, part, alone)?.map(Self::Parquet),
            other => {
                return Err(ImportError::file(
                    path,
                    "a file `.npy`, `.npz` or `.parquet`",
                    format!("the ending `.{other}`"),
                    "write the embeddings as one of these, with numpy.save for example",
                ));
            }
        };
        if let Some(matrix) = &matrix
            && !(1..=MOST_VALUES).contains(&matrix.width())
        {
            return Err(ImportError::file(
                path,
                format!("rows of 1 to {MOST_VALUES} values"),
                format!("{} rows of {}", matrix.rows(), matrix.width()),
                "write a matrix with a row for each picture",
            ));
        }
        Ok(matrix)
    }

    fn path(&self) -> &Path {
        match self {
            Self::Npy(matrix) => matrix.path(),
            Self::Parquet(matrix) => matrix.path(),
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Npy(matrix) => matrix.rows(),
            Self::Parquet(matrix) => matrix.rows(),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Npy(matrix) => matrix.width(),
            Self::Parquet(matrix) => matrix.width(),
        }
    }

    fn cursor(&self) -> Result<Cursor<'_>, ImportError> {
        let blocks = match self {
            Self::Npy(matrix) => Blocks::Npy(matrix.blocks()),
            Self::Parquet(matrix) => Blocks::Parquet(matrix.blocks()?),
        };
        let block = Block::default();
        Ok(Cursor { path: self.path(), width: self.width(), blocks, block, place: 0, row: 0 })
    }
}

/// The ending of a file's name, in lower case.
fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Which of the matrices of these names is a part of the rows. `what` they are: arrays, or columns.
fn choose(
    path: &Path,
    names: &[&str],
    part: Part,
    alone: bool,
    what: &str,
) -> Result<Option<usize>, ImportError> {
    let named = |name: &&str| part.names().contains(name);
    if let Some(found) = names.iter().position(named) {
        return Ok(Some(found));
    }
    if !alone {
        return Ok(None);
    }
    let other = |name: &str| Part::of_name(name).is_some_and(|of| of != part);
    let free: Vec<usize> = (0..names.len()).filter(|&index| !other(names[index])).collect();
    match free[..] {
        [only] => Ok(Some(only)),
        _ => Err(ImportError::file(
            path,
            format!("one matrix of floats, or one named `{}`", part.names()[0]),
            match names {
                [] => format!("no {what} of floats"),
                names => format!("the {what} `{}`", names.join("`, `")),
            },
            "rename the one that is meant",
        )),
    }
}

enum Blocks<'a> {
    Npy(npy::Blocks<'a>),
    Parquet(parquet::Blocks<'a>),
}

/// Goes through the rows of a matrix.
struct Cursor<'a> {
    path: &'a Path,
    width: usize,
    blocks: Blocks<'a>,
    block: Block,
    /// The next row of the block, and of the matrix.
    place: usize,
    row: usize,
}

impl Cursor<'_> {
    /// The values of the next row; none where the file has none for it.
    fn next(&mut self) -> Result<Option<&[f32]>, ImportError> {
        if self.place == self.block.missing.len() {
            self.place = 0;
            self.block.values.clear();
            self.block.missing.clear();
            match &mut self.blocks {
                Blocks::Npy(blocks) => blocks.read(&mut self.block)?,
                Blocks::Parquet(blocks) => blocks.read(&mut self.block)?,
            }
        }
        let (place, row) = (self.place, self.row);
        self.place += 1;
        self.row += 1;
        let values = self.block.values.get(place * self.width..(place + 1) * self.width);
        let (Some(values), Some(missing)) = (values, self.block.missing.get(place)) else {
            return Err(ImportError::file(
                self.path,
                format!("more than {row} rows, as its header says"),
                "its end",
                "write the file anew",
            ));
        };
        if *missing {
            return Ok(None);
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(Some(values)),
            Some(column) => Err(ImportError::Row {
                path: self.path.to_owned(),
                row,
                expected: "finite values that float32 can hold".to_owned(),
                found: format!("{} in column {column}", values[column]),
                remedy: "compute the row anew, or remove it here and from the labels",
            }),
        }
    }
}

/// A row of an import. A part that the files do not have is empty.
#[derive(Debug, Clone, Copy)]
pub struct ImportedRow<'a> {
    /// The row, from 0.
    pub number: usize,
    /// The embedding; none where the file has no values for it.
    pub embedding: Option<&'a [f32]>,
    /// The embedding of the mirrored picture, where the files have them.
    pub mirrored: Option<&'a [f32]>,
    /// Further features.
    pub taps: &'a [f32],
    /// Further features of the mirrored picture.
    pub mirrored_taps: &'a [f32],
}

/// The rows of embeddings that another program made.
#[derive(Debug)]
pub struct ImportedRows {
    embeddings: Matrix,
    mirrored: Option<Matrix>,
    taps: Option<Matrix>,
    mirrored_taps: Option<Matrix>,
    texts: Vec<TextColumn>,
    unread: Vec<String>,
}

/// A column, or array, with a text for each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextColumn {
    /// Its name.
    pub name: String,
    /// The text of each row.
    pub texts: Vec<String>,
    /// Whether its name says that it has the paths of pictures: `path`, `paths`, `file`, `files`, `filename`,
    /// `filenames`, or that of [`ImportFiles::key`].
    pub is_path_name: bool,
}

impl ImportedRows {
    /// Opens the files and reads what is said of their shapes.
    ///
    /// # Errors
    /// [`ImportError`]: a file that cannot be read, holds no matrix of floats, or does not fit to the
    /// embeddings.
    pub fn open(files: &ImportFiles) -> Result<Self, ImportError> {
        let main = files.embeddings.as_path();
        let part = |part, own: &Option<PathBuf>| match own {
            Some(path) => Matrix::open(path, part, true),
            None => Matrix::open(main, part, false),
        };
        let embeddings = Matrix::open(main, Part::Embeddings, true)?.ok_or_else(|| {
            ImportError::file(main, "embeddings", "none", "write them as a matrix of floats")
        })?;
        let mut rows = Self {
            embeddings,
            mirrored: part(Part::Mirrored, &files.mirrored)?,
            taps: part(Part::Taps, &files.taps)?,
            mirrored_taps: part(Part::MirroredTaps, &files.mirrored_taps)?,
            texts: Vec::new(),
            unread: Vec::new(),
        };
        rows.read_texts(files)?;
        rows.check(main)?;
        Ok(rows)
    }

    /// Reads the column that is asked for; without one all that have a text for each row, those first whose names
    /// say that they have paths.
    fn read_texts(&mut self, files: &ImportFiles) -> Result<(), ImportError> {
        let main = files.embeddings.as_path();
        if let Some(name) = &files.key {
            let texts = texts(main, name, true)?;
            self.texts.push(TextColumn { name: name.clone(), texts, is_path_name: true });
            return Ok(());
        }
        let mut names = text_columns(main)?;
        let rank = |name: &String| PATHS.iter().position(|path| path == name);
        names.sort_by_key(|name| rank(name).unwrap_or(PATHS.len()));
        for name in names {
            let is_path_name = rank(&name).is_some();
            match texts(main, &name, is_path_name) {
                Ok(texts) if is_path_name || texts.len() == self.len() => {
                    self.texts.push(TextColumn { name, texts, is_path_name });
                }
                // Such as the names of classes.
                Ok(_) => {}
                Err(ImportError::File { .. }) if !is_path_name => self.unread.push(name),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Refuses parts that do not fit to the embeddings.
    fn check(&self, main: &Path) -> Result<(), ImportError> {
        if let Some(column) = self.texts.iter().find(|column| column.texts.len() != self.len()) {
            return Err(ImportError::file(
                main,
                format!("{} paths, one for each row of the embeddings", self.len()),
                format!("{}", column.texts.len()),
                "write both from the same rows",
            ));
        }
        let like = |part: &'static str, matrix: &Matrix, width: usize| {
            if matrix.rows() != self.len() {
                return Err(ImportError::Rows {
                    path: matrix.path().to_owned(),
                    part,
                    embeddings: main.to_owned(),
                    expected: self.len(),
                    found: matrix.rows(),
                });
            }
            if matrix.width() == width {
                return Ok(());
            }
            Err(ImportError::file(
                matrix.path(),
                format!("{part} of {width} values"),
                format!("{}", matrix.width()),
                "write them by the same network as the others",
            ))
        };
        let (embedding, taps) = self.lengths();
        if let Some(mirrored) = &self.mirrored {
            like("mirrored embeddings", mirrored, embedding)?;
        }
        if let Some(matrix) = &self.taps {
            like("taps", matrix, taps)?;
        }
        if let Some(matrix) = &self.mirrored_taps {
            like("mirrored taps", matrix, taps)?;
        }
        let both = self.mirrored.is_some() && self.taps.is_some();
        if both != self.mirrored_taps.is_some() {
            return Err(ImportError::file(
                main,
                "taps of the mirrored pictures exactly where there are taps and mirrored embeddings",
                if both { "none" } else { "taps of mirrored pictures alone" },
                "give all of embeddings, mirrored, taps and mirrored_taps, or leave mirrored or taps out",
            ));
        }
        Ok(())
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.embeddings.rows()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values of an embedding, and further features of a row; 0 without.
    #[must_use]
    pub fn lengths(&self) -> (usize, usize) {
        (self.embeddings.width(), self.taps.as_ref().map_or(0, Matrix::width))
    }

    /// Whether there are embeddings of the mirrored pictures.
    #[must_use]
    pub fn has_mirrored(&self) -> bool {
        self.mirrored.is_some()
    }

    /// The columns with a text for each row: the one that was asked for, else all, those first whose names say
    /// that they have paths.
    #[must_use]
    pub fn text_columns(&self) -> &[TextColumn] {
        &self.texts
    }

    /// The names of columns of texts that cannot be read, such as Python's objects.
    #[must_use]
    pub fn unread_columns(&self) -> &[String] {
        &self.unread
    }

    /// Calls `each` with every row, in order.
    ///
    /// # Errors
    /// [`ImportError::Row`] naming a row with a value that is not finite; a file that cannot be read;
    /// whatever `each` fails with.
    pub fn for_each<E: From<ImportError>>(
        &self,
        mut each: impl FnMut(ImportedRow<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut embeddings = self.embeddings.cursor()?;
        let mut mirrored = cursor_of(self.mirrored.as_ref())?;
        let mut taps = cursor_of(self.taps.as_ref())?;
        let mut mirrored_taps = cursor_of(self.mirrored_taps.as_ref())?;
        for number in 0..self.len() {
            let row = ImportedRow {
                number,
                embedding: embeddings.next()?,
                mirrored: next_of(&mut mirrored)?,
                taps: next_of(&mut taps)?.unwrap_or_default(),
                mirrored_taps: next_of(&mut mirrored_taps)?.unwrap_or_default(),
            };
            let (_, length) = self.lengths();
            let whole = (row.mirrored.is_some() || self.mirrored.is_none())
                && row.taps.len() == length
                && (row.mirrored_taps.len() == length || self.mirrored_taps.is_none());
            if row.embedding.is_some() && !whole {
                return Err(ImportError::Row {
                    path: self.embeddings.path().to_owned(),
                    row: number,
                    expected: "all parts of a row that has an embedding".to_owned(),
                    found: "no values in another part".to_owned(),
                    remedy: "compute the row anew, or leave its embedding out too",
                }
                .into());
            }
            each(row)?;
        }
        Ok(())
    }
}

fn cursor_of(matrix: Option<&Matrix>) -> Result<Option<Cursor<'_>>, ImportError> {
    matrix.map(Matrix::cursor).transpose()
}

fn next_of<'a>(cursor: &'a mut Option<Cursor<'_>>) -> Result<Option<&'a [f32]>, ImportError> {
    match cursor {
        Some(cursor) => cursor.next(),
        None => Ok(None),
    }
}

/// The names of the columns, or arrays, of texts.
fn text_columns(path: &Path) -> Result<Vec<String>, ImportError> {
    match ending(path).as_str() {
        "npz" => npz::text_arrays(path),
        "parquet" | "pq" => parquet::text_columns(path),
        _ => Ok(Vec::new()),
    }
}

/// The texts of a column, or array, of a file; `whole` where no row may lack one.
fn texts(path: &Path, name: &str, whole: bool) -> Result<Vec<String>, ImportError> {
    match ending(path).as_str() {
        "npz" => npz::texts(path, name),
        "parquet" | "pq" => parquet::texts(path, name, whole),
        _ => Err(ImportError::file(
            path,
            format!("an NPZ or Parquet file with a column `{name}`"),
            "an NPY file, which has no names",
            "leave the key out where the rows are in the order of the labels",
        )),
    }
}

#[cfg(test)]
mod tests;
