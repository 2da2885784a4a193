//! The functions that queries call: `embed` and `predict` on the bytes of pictures, `embed_file` and `predict_file` on
//! paths.

use std::any::Any;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use ballista::datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float32Array, StringArray, StructArray, UInt32Array,
};
use ballista::datafusion::arrow::compute::cast;
use ballista::datafusion::arrow::datatypes::{DataType, Field, Fields};
use ballista::datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use ballista::datafusion::error::DataFusionError;
use ballista::datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use facefold::core::{Extraction, Extractor as _, ImageKey, RejectReason, Rejection, pictures};
use facefold::predict::FacePrediction;
use facefold::remote::{is_address, read_pictures};

use crate::columns::{Outcome, outcome_type, outcomes};
use crate::models::{EmbedOptions, bundle_predictor, extractor};
use crate::{crashes, tables};

/// What a function does with each picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Embed,
    EmbedFile,
    Predict,
    PredictFile,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Embed, Self::EmbedFile, Self::Predict, Self::PredictFile];

    fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::EmbedFile => "embed_file",
            Self::Predict => "predict",
            Self::PredictFile => "predict_file",
        }
    }

    fn takes_paths(self) -> bool {
        matches!(self, Self::EmbedFile | Self::PredictFile)
    }

    fn usage(self) -> &'static str {
        match self {
            Self::Embed => "embed(content [, options])",
            Self::EmbedFile => "embed_file(path [, options])",
            Self::Predict => "predict(content [, bundle])",
            Self::PredictFile => "predict_file(path [, bundle])",
        }
    }
}

/// All functions, for sessions of clients, the scheduler and executors.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    Kind::ALL.into_iter().map(function).collect()
}

/// `embed_file`, for plans that are not parsed from text.
pub fn embed_file() -> Arc<ScalarUDF> {
    function(Kind::EmbedFile)
}

/// `predict_file`, for plans that are not parsed from text.
pub fn predict_file() -> Arc<ScalarUDF> {
    function(Kind::PredictFile)
}

fn function(kind: Kind) -> Arc<ScalarUDF> {
    // Not immutable: a planner would compute a call on a literal, on a machine without weights.
    let signature = Signature::variadic_any(Volatility::Volatile);
    Arc::new(ScalarUDF::new_from_impl(Function { kind, signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    kind: Kind,
    signature: Signature,
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let text = |kind: &DataType| {
            matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        };
        let bytes = |kind: &DataType| {
            matches!(kind, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
        };
        let first = arguments.first().is_some_and(|kind| {
            *kind == DataType::Null || bytes(kind) || (self.kind.takes_paths() && text(kind))
        });
        if !first || arguments.len() > 2 || !arguments.iter().skip(1).all(text) {
            return plan_err!(
                "{}: expected a picture's bytes (for embed_file and predict_file, its path), then text; found {arguments:?}",
                self.kind.usage()
            );
        }
        Ok(match self.kind {
            Kind::Embed | Kind::EmbedFile => outcome_type(),
            Kind::Predict | Kind::PredictFile => DataType::Struct(PREDICTION.clone()),
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let option = match arguments.args.get(1) {
            None => None,
            Some(ColumnarValue::Scalar(value)) => value.try_as_str().flatten().map(str::to_owned),
            Some(ColumnarValue::Array(_)) => {
                return exec_err!("{}: expected one text for all rows", self.kind.usage());
            }
        };
        let column = match &arguments.args[0] {
            ColumnarValue::Array(array) => Arc::clone(array),
            ColumnarValue::Scalar(value) => value.to_array_of_size(arguments.number_rows)?,
        };
        let column = binary(&column)?;
        let column = column.as_binary::<i32>();
        let rows = (0..column.len()).map(|row| column.is_valid(row).then(|| column.value(row)));
        let contents = if self.kind.takes_paths() {
            read(&rows.collect::<Vec<_>>())?
        } else {
            rows.map(|row| row.map(Cow::Borrowed).ok_or_else(no_bytes)).collect()
        };
        let pictures = contents.iter().map(|content| content.as_deref().map_err(Clone::clone));
        let option = option.as_deref();
        let made: ArrayRef = match self.kind {
            Kind::Embed | Kind::EmbedFile => Arc::new(embed(pictures, option)?),
            Kind::Predict | Kind::PredictFile => Arc::new(predict(pictures, option)?),
        };
        let is_constant = matches!(arguments.args[0], ColumnarValue::Scalar(_));
        if is_constant && made.len() == 1 {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?));
        }
        Ok(ColumnarValue::Array(made))
    }
}

fn no_bytes() -> Rejection {
    Rejection::new(RejectReason::Unreadable, "no bytes")
}

/// A column of bytes or text as bytes.
fn binary(column: &ArrayRef) -> Result<ArrayRef> {
    let column = match column.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => cast(column, &DataType::Utf8)?,
        _ => Arc::clone(column),
    };
    match column.data_type() {
        DataType::Null => Ok(Arc::new(BinaryArray::new_null(column.len()))),
        _ => Ok(cast(&column, &DataType::Binary)?),
    }
}

/// Where the bytes of a picture are.
enum Place<'a> {
    File(&'a [u8]),
    /// On object storage.
    Address(&'a str),
    /// In a row of a Parquet file.
    Row(tables::Place),
}

impl<'a> Place<'a> {
    fn of(path: &'a [u8]) -> Self {
        match std::str::from_utf8(path) {
            Ok(text) if is_address(Path::new(text)) => Self::Address(text),
            Ok(text) => text.parse().map_or(Self::File(path), Self::Row),
            Err(_) => Self::File(path),
        }
    }
}

/// The bytes of files, of pictures on object storage, and of rows of Parquet files; what lies together is read together.
fn read<'a>(paths: &[Option<&[u8]>]) -> Result<Vec<Result<Cow<'a, [u8]>, Rejection>>> {
    let places: Vec<Option<Place<'_>>> = paths.iter().map(|path| path.map(Place::of)).collect();
    let (mut addresses, mut rows) = (Vec::new(), Vec::new());
    for place in places.iter().flatten() {
        match place {
            Place::Address(address) => addresses.push(*address),
            Place::Row(row) => rows.push(row.clone()),
            Place::File(_) => {}
        }
    }
    let remote = if addresses.is_empty() {
        Vec::new()
    } else {
        read_pictures(&addresses).map_err(external)?
    };
    let mut remote = remote.into_iter();
    let mut rows = tables::read(&rows).into_iter();
    let contents = places.iter().map(|place| match place {
        Some(Place::Address(_)) => remote.next().unwrap_or_else(|| Err(no_bytes())),
        Some(Place::Row(_)) => rows.next().unwrap_or_else(|| Err(no_bytes())),
        Some(Place::File(path)) => read_file(path),
        None => Err(no_bytes()),
    });
    Ok(contents.map(|content| content.map(Cow::Owned)).collect())
}

fn read_file(path: &[u8]) -> Result<Vec<u8>, Rejection> {
    #[cfg(unix)]
    let path = <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path);
    #[cfg(not(unix))]
    let path = String::from_utf8_lossy(path);
    pictures::read(Path::new(&path))
}

fn external(error: facefold::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Embeds pictures. A bad one is rejected, whatever it does to a decoder.
fn embed<'a>(
    pictures: impl Iterator<Item = Result<&'a [u8], Rejection>>,
    options: Option<&str>,
) -> Result<StructArray> {
    let options = EmbedOptions::parse(options.unwrap_or("{}")).map_err(external)?;
    let extractor = extractor(&options).map_err(external)?;
    let fingerprint = extractor.fingerprint().to_string();
    let mut all = Vec::new();
    for picture in pictures {
        let (key, extraction) = match picture {
            Ok(bytes) => {
                let key = ImageKey::of(bytes);
                let extract = || catch_unwind(AssertUnwindSafe(|| extractor.extract(&[bytes])));
                let extraction = match crashes::noted(key, bytes, extract) {
                    Ok(Ok(Ok(mut outcomes))) if outcomes.len() == 1 => outcomes.remove(0),
                    Ok(Ok(Ok(outcomes))) => {
                        return exec_err!(
                            "expected one outcome of a picture, found {}",
                            outcomes.len()
                        );
                    }
                    Ok(Ok(Err(error))) => return Err(DataFusionError::External(Box::new(error))),
                    Ok(Err(panic)) => Extraction::Rejected(crashed(&*panic)),
                    Err(rejection) => Extraction::Rejected(rejection),
                };
                (Some(key), extraction)
            }
            Err(rejection) => (None, Extraction::Rejected(rejection)),
        };
        all.push(Outcome { key, fingerprint: fingerprint.clone(), extraction });
    }
    Ok(outcomes(&all)?)
}

fn crashed(panic: &(dyn Any + Send)) -> Rejection {
    let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
    let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Rejection::new(RejectReason::Crashed, format!("the decoder failed: {words}"))
}

static PREDICTION: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new("status", DataType::Utf8, false),
        Field::new("detail", DataType::Utf8, true),
        Field::new("faces_found", DataType::UInt32, false),
        Field::new("gender", DataType::Utf8, true),
        Field::new("gender_probability", DataType::Float32, true),
        Field::new("age", DataType::Float32, true),
        Field::new("age_low", DataType::Float32, true),
        Field::new("age_high", DataType::Float32, true),
        Field::new("age_group", DataType::Utf8, true),
        Field::new("class", DataType::Utf8, true),
        Field::new("familiarity", DataType::Float32, true),
        Field::new("unfamiliar", DataType::Boolean, true),
    ])
});

/// Predicts for the main face of each picture.
fn predict<'a>(
    pictures: impl Iterator<Item = Result<&'a [u8], Rejection>>,
    bundle: Option<&str>,
) -> Result<StructArray> {
    let predictor = bundle_predictor(bundle.map(Path::new)).map_err(external)?;
    let mut all: Vec<FacePrediction> = Vec::new();
    for picture in pictures {
        let predicted = match picture {
            Err(rejection) => Err(rejection),
            Ok(bytes) => {
                let predict = || catch_unwind(AssertUnwindSafe(|| predictor.predict("", bytes)));
                match crashes::noted(ImageKey::of(bytes), bytes, predict) {
                    Ok(Ok(predicted)) => Ok(predicted.map_err(|error| external(error.into()))?),
                    Ok(Err(panic)) => Err(crashed(&*panic)),
                    Err(rejection) => Err(rejection),
                }
            }
        };
        all.push(match predicted.map(|answers| answers.into_iter().next()) {
            Ok(Some(answer)) => answer,
            Ok(None) => return exec_err!("expected a prediction for a picture, found none"),
            Err(rejection) => FacePrediction::rejected("", "", &rejection),
        });
    }
    let texts = |of: &dyn Fn(&FacePrediction) -> Option<String>| -> ArrayRef {
        Arc::new(all.iter().map(of).collect::<StringArray>())
    };
    let floats = |of: &dyn Fn(&FacePrediction) -> Option<f32>| -> ArrayRef {
        Arc::new(all.iter().map(of).collect::<Float32Array>())
    };
    let unfamiliar = all.iter().map(|one| one.familiarity.map(|found| found.unfamiliar));
    let columns: Vec<ArrayRef> = vec![
        texts(&|one| Some(one.status.as_str().to_owned())),
        texts(&|one| one.detail.clone()),
        Arc::new(UInt32Array::from_iter_values(all.iter().map(|one| one.faces_found))),
        texts(&|one| one.gender.as_ref().map(|gender| gender.label.clone())),
        floats(&|one| one.gender.as_ref().map(|gender| gender.probability)),
        floats(&|one| one.age),
        floats(&|one| one.age_low),
        floats(&|one| one.age_high),
        texts(&|one| one.age_group.as_ref().map(|group| group.label.clone())),
        texts(&|one| one.class.as_ref().map(|class| class.label.clone())),
        floats(&|one| one.familiarity.map(|found| found.score)),
        Arc::new(unfamiliar.collect::<ballista::datafusion::arrow::array::BooleanArray>()),
    ];
    Ok(StructArray::try_new(PREDICTION.clone(), columns, None)?)
}
