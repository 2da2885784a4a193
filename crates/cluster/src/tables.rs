//! Pictures in Parquet files: a row for each, with its `path`, its bytes as `content`, and what is known of it.
//!
//! The client reads names and labels; a job names its pictures as `parquet:FILE#ROW`, and executors read their bytes
//! out of the file.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use ballista::datafusion::arrow::array::{
    Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray,
};
use ballista::datafusion::arrow::compute::cast;
use ballista::datafusion::arrow::csv::Writer;
use ballista::datafusion::arrow::datatypes::DataType;
use ballista::datafusion::parquet::arrow::ProjectionMask;
use ballista::datafusion::parquet::arrow::arrow_reader::{
    ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use facefold::Source;
use facefold::core::{RejectReason, Rejection};
use facefold::datasets::{Dataset, DatasetKind};
use facefold::remote::is_address;

/// The column of the pictures' names.
const PATH: &str = "path";
/// The column of their bytes.
const CONTENT: &str = "content";
/// The columns of labels, those of a manifest.
const LABELS: [&str; 7] = ["subject", "age", "gender", "fold", "split", "race", "class"];
/// What the name of a picture in a row begins with.
const SCHEME: &str = "parquet:";
/// Pictures that are in memory together.
const BATCH: usize = 64;

/// Whether a path names Parquet files: one, or a directory of them that is named like one.
pub fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

/// A picture in a row (from 0) of a Parquet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    file: String,
    row: usize,
}

impl Place {
    /// As jobs name it.
    fn to_path(&self) -> PathBuf {
        format!("{SCHEME}{}#{}", self.file, self.row).into()
    }
}

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let place = text.strip_prefix(SCHEME).and_then(|rest| rest.rsplit_once('#'));
        let (file, row) = place.context("expected parquet:FILE#ROW")?;
        Ok(Self { file: file.to_owned(), row: row.parse()? })
    }
}

/// The pictures of one or several Parquet files as a data set, and where executors find each; without labels where they
/// are not asked for.
///
/// # Errors
/// Files that are none, that lack `path` or `content`, or with labels that say nothing.
pub fn load(root: &Path, labels: bool) -> Result<(Source, Dataset, Vec<PathBuf>)> {
    if is_address(root) {
        bail!(
            "`{}`: expected Parquet files under a path that all executors see; of object storage pictures of their own \
             can be read (`pictures`)",
            root.display()
        );
    }
    let root = std::path::absolute(root)?;
    let files = files(&root)?;
    let directory = tempfile::tempdir()?;
    let list = directory.path().join("labels.csv");
    let mut writer = Writer::new(File::create(&list)?);
    let mut places = HashMap::new();
    for file in &files {
        let wanted = if labels { &LABELS[..] } else { &[] };
        names_and_labels(file, wanted, &mut writer, &mut places)
            .with_context(|| format!("`{}`", file.display()))?;
    }
    drop(writer);
    let folder = if root.is_dir() { root.as_path() } else { root.parent().unwrap_or(&root) };
    let mut source = Source::new(DatasetKind::Manifest, folder);
    source.options.labels = Some(list);
    let dataset = source
        .load(&())
        .with_context(|| format!("the rows of `{}`, as the list of a manifest", root.display()))?;
    // What the store says of its source: no file that is about to be removed.
    source.options.labels = None;
    source.root = root;
    let place = |path: &PathBuf| places.get(path).map(Place::to_path).context("a row's path");
    let found = dataset.samples.iter().map(|sample| place(&sample.path)).collect::<Result<_>>()?;
    Ok((source, dataset, found))
}

/// The Parquet files of a path, in the order of their names.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    if !root.is_dir() {
        return Ok(vec![root.to_owned()]);
    }
    let entries = std::fs::read_dir(root).with_context(|| format!("`{}`", root.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if is_table(&path) && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("`{}`: expected files named *.parquet, found none", root.display());
    }
    files.sort_unstable();
    Ok(files)
}

/// Writes names and labels of a file's rows as a list, and keeps where each first stands.
fn names_and_labels(
    file: &Path,
    labels: &[&'static str],
    writer: &mut Writer<File>,
    places: &mut HashMap<PathBuf, Place>,
) -> Result<()> {
    let text = file.to_str().context("expected a path in UTF-8")?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?;
    let schema = builder.schema();
    let has = |name: &str| schema.column_with_name(name).is_some();
    if let Some(missing) = [PATH, CONTENT].into_iter().find(|name| !has(name)) {
        let found: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        bail!("expected a column `{missing}`, found `{}`", found.join("`, `"));
    }
    let content = schema.field_with_name(CONTENT)?.data_type();
    if !matches!(content, DataType::Binary | DataType::LargeBinary | DataType::BinaryView) {
        bail!("expected the bytes of pictures in the column `{CONTENT}`, found {content}");
    }
    let columns = [PATH].iter().chain(labels).copied().filter(|&name| has(name));
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
    let mut row = 0;
    for batch in builder.with_projection(mask).build()? {
        let batch = batch?;
        let mut fields = Vec::new();
        for name in [PATH].iter().chain(&LABELS) {
            let column: ArrayRef = match batch.column_by_name(name) {
                Some(column) => cast(column, &DataType::Utf8)
                    .with_context(|| format!("the column `{name}`: expected text or numbers"))?,
                None => Arc::new(StringArray::new_null(batch.num_rows())),
            };
            fields.push((*name, column, true));
        }
        let paths = fields[0].1.as_string::<i32>();
        let mut names = Vec::with_capacity(paths.len());
        for path in paths {
            let path = path.with_context(|| format!("row {row}: expected a path, found none"))?;
            let name = plain(path)
                .with_context(|| format!("row {row}: expected a path, found `{path}`"))?;
            let place = Place { file: text.to_owned(), row };
            places.entry(name.clone().into()).or_insert(place);
            names.push(name);
            row += 1;
        }
        fields[0].1 = Arc::new(StringArray::from(names));
        writer.write(&RecordBatch::try_from_iter_with_nullable(fields)?)?;
    }
    Ok(())
}

/// A path as a manifest writes it: relative, with `/` between its parts.
fn plain(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => return None,
        }
    }
    Some(parts.join("/")).filter(|path| !path.is_empty())
}

/// The bytes of pictures in rows, in the order asked for; a file is read once.
pub fn read(places: &[Place]) -> Vec<Result<Vec<u8>, Rejection>> {
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for place in places {
        rows.entry(place.file.as_str()).or_default().push(place.row);
    }
    let read: HashMap<&str, _> = rows
        .into_iter()
        .map(|(file, mut rows)| {
            rows.sort_unstable();
            rows.dedup();
            (file, contents(file, &rows).map_err(|error| format!("`{file}`: {error:#}")))
        })
        .collect();
    let unreadable = |detail: String| Err(Rejection::new(RejectReason::Unreadable, detail));
    let bytes = |place: &Place| match &read[place.file.as_str()] {
        Err(detail) => unreadable(detail.clone()),
        Ok(contents) => match contents.get(&place.row) {
            Some(Some(bytes)) => Ok(bytes.clone()),
            Some(None) => unreadable("no bytes".to_owned()),
            None => unreadable(format!("`{}` has no row {}", place.file, place.row)),
        },
    };
    places.iter().map(bytes).collect()
}

/// The bytes in some rows of a file, which are sorted; of a row without any, none.
fn contents(file: &str, rows: &[usize]) -> Result<HashMap<usize, Option<Vec<u8>>>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?;
    let all = usize::try_from(builder.metadata().file_metadata().num_rows())?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), [CONTENT]);
    let rows: Vec<usize> = rows.iter().copied().filter(|&row| row < all).collect();
    let ranges = rows.iter().map(|&row| row..row + 1);
    let selection = RowSelection::from_consecutive_ranges(ranges, all);
    let reader: ParquetRecordBatchReader = builder
        .with_projection(mask)
        .with_row_selection(selection)
        .with_batch_size(BATCH)
        .build()?;
    let mut found = HashMap::with_capacity(rows.len());
    let mut rows = rows.into_iter();
    for batch in reader {
        let column = cast(batch?.column(0), &DataType::LargeBinary)?;
        let column = column.as_binary::<i64>();
        // The rows second: a batch that has no more must not take one from them.
        let contents = column.iter().map(|bytes| bytes.map(<[u8]>::to_vec));
        found.extend(contents.zip(rows.by_ref()).map(|(bytes, row)| (row, bytes)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;
    use std::sync::Arc;

    use ballista::datafusion::arrow::array::{
        ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray,
    };
    use ballista::datafusion::parquet::arrow::ArrowWriter;

    use super::{Place, is_table, load, read};

    fn table(path: &Path, columns: Vec<(&str, ArrayRef)>) {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer =
            ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    fn texts(of: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(of.to_vec()))
    }

    fn bytes(of: &[Option<&[u8]>]) -> ArrayRef {
        Arc::new(BinaryArray::from(of.to_vec()))
    }

    #[test]
    fn rows_become_samples_whose_bytes_are_read_by_their_place() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("faces.parquet");
        std::fs::create_dir(&root).unwrap();
        table(
            &root.join("1.parquet"),
            vec![
                (
                    "path",
                    texts(&[Some("a/1, \"x\".jpg"), Some("/b/2.jpg"), Some("a/1, \"x\".jpg")]),
                ),
                ("content", bytes(&[Some(b"one"), Some(b"two"), Some(b"again")])),
                ("age", Arc::new(Int64Array::from(vec![Some(31), None, Some(31)]))),
                ("gender", texts(&[Some("f"), None, Some("f")])),
                ("taken_at", texts(&[None, None, None])),
            ],
        );
        table(
            &root.join("2.parquet"),
            vec![("path", texts(&[Some("c.png")])), ("content", bytes(&[None]))],
        );
        assert!(is_table(&root));
        let (source, dataset, places) = load(&root, true).unwrap();
        assert_eq!((source.root, source.options.labels), (root.clone(), None));
        let samples: Vec<_> = dataset
            .samples
            .iter()
            .map(|sample| {
                (sample.path.to_str().unwrap(), sample.raw_age.as_str(), sample.gender.is_some())
            })
            .collect();
        assert_eq!(
            samples,
            [("a/1, \"x\".jpg", "31", true), ("b/2.jpg", "", false), ("c.png", "", false)]
        );
        assert_eq!(dataset.duplicates, 1);
        let places: Vec<Place> =
            places.iter().map(|place| place.to_str().unwrap().parse().unwrap()).collect();
        let beyond = Place { row: 7, ..places[0].clone() };
        let wanted = [places[1].clone(), places[2].clone(), beyond, places[0].clone()];
        let found = read(&wanted);
        assert_eq!(found[0].as_deref().unwrap(), b"two");
        assert_eq!(found[1].as_ref().unwrap_err().detail, "no bytes");
        assert!(found[2].as_ref().unwrap_err().detail.ends_with("has no row 7"));
        assert_eq!(found[3].as_deref().unwrap(), b"one");
        // Labels that predictions do not need are not read.
        assert_eq!(load(&root, false).unwrap().1.samples[0].raw_age, "");
    }

    #[test]
    fn what_lacks_pictures_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("faces.parquet");
        let refused = |root: &Path| format!("{:#}", load(root, true).unwrap_err());
        table(&root, vec![("path", texts(&[Some("a")])), ("image", bytes(&[Some(b"one")]))]);
        assert!(refused(&root).contains("expected a column `content`, found `path`, `image`"));
        table(&root, vec![("path", texts(&[Some("a")])), ("content", texts(&[Some("one")]))]);
        assert!(refused(&root).contains("expected the bytes of pictures"));
        table(&root, vec![("path", texts(&[None])), ("content", bytes(&[Some(b"one")]))]);
        assert!(refused(&root).contains("row 0: expected a path, found none"));
        assert!(refused(directory.path()).contains("faces.parquet"));
        assert!(refused(Path::new("s3://faces/all.parquet")).contains("that all executors see"));
    }
}
