//! Outcomes of pictures as Arrow columns, and back: what executors send to clients.

use std::sync::{Arc, LazyLock};

use ballista::datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float32Array, ListArray, StringArray, StructArray,
    UInt16Array, UInt32Array,
};
use ballista::datafusion::arrow::buffer::OffsetBuffer;
use ballista::datafusion::arrow::datatypes::{
    DataType, Field, Fields, Float32Type, UInt16Type, UInt32Type,
};
use ballista::datafusion::arrow::error::ArrowError;
use facefold::core::{BoundingBox, Embedding, Extraction, Face, FaceVariant, ImageKey, Rejection};

/// A picture and how it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The picture; none where its file could not be read.
    pub key: Option<ImageKey>,
    /// What its embeddings were made with.
    pub fingerprint: String,
    /// Its faces, or why it has none.
    pub extraction: Extraction,
}

fn list_of(field: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(field, false)))
}

static FACE: LazyLock<Fields> = LazyLock::new(|| {
    let floats = || list_of(DataType::Float32);
    Fields::from(vec![
        Field::new("index", DataType::UInt16, false),
        Field::new("variant", DataType::UInt32, false),
        Field::new("embedding", floats(), false),
        Field::new("norm", DataType::Float32, true),
        Field::new("taps", floats(), false),
        Field::new("bounding_box", floats(), false),
        Field::new("landmarks", floats(), false),
        Field::new("score", DataType::Float32, false),
        Field::new("luminance", DataType::Float32, false),
        Field::new("sharpness", DataType::Float32, false),
    ])
});

static OUTCOME: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new("key", DataType::Binary, true),
        Field::new("fingerprint", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, true),
        Field::new("detail", DataType::Utf8, true),
        Field::new("faces_found", DataType::UInt32, false),
        Field::new("faces", list_of(DataType::Struct(FACE.clone())), false),
    ])
});

/// The type of [`outcomes`]: a struct of `key` (32 bytes), `fingerprint`, `reason` and `detail` of a rejection,
/// `faces_found`, and `faces`, a list of structs with the columns of a store.
pub fn outcome_type() -> DataType {
    DataType::Struct(OUTCOME.clone())
}

/// Outcomes as a column, in their order.
///
/// # Errors
/// Never, unless the types above are wrong.
pub fn outcomes(all: &[Outcome]) -> Result<StructArray, ArrowError> {
    let rejection = |outcome: &Outcome| match &outcome.extraction {
        Extraction::Rejected(rejection) => Some(rejection.clone()),
        Extraction::Embedded { .. } => None,
    };
    let reasons =
        all.iter().map(|outcome| rejection(outcome).map(|found| found.reason.to_string()));
    let details = all.iter().map(|outcome| rejection(outcome).map(|found| found.detail));
    let found = all.iter().map(|outcome| match outcome.extraction {
        Extraction::Embedded { found, .. } => found,
        Extraction::Rejected(_) => 0,
    });
    let faces_of = |outcome: &'_ Outcome| match &outcome.extraction {
        Extraction::Embedded { faces, .. } => faces.clone(),
        Extraction::Rejected(_) => Vec::new(),
    };
    let by_picture: Vec<Vec<Face>> = all.iter().map(faces_of).collect();
    let lengths = OffsetBuffer::from_lengths(by_picture.iter().map(Vec::len));
    let faces: Vec<Face> = by_picture.into_iter().flatten().collect();
    let of_face = Arc::new(Field::new_list_field(DataType::Struct(FACE.clone()), false));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            all.iter()
                .map(|outcome| outcome.key.map(|key| *key.as_bytes()))
                .collect::<BinaryArray>(),
        ),
        Arc::new(StringArray::from_iter_values(all.iter().map(|outcome| &outcome.fingerprint))),
        Arc::new(reasons.collect::<StringArray>()),
        Arc::new(details.collect::<StringArray>()),
        Arc::new(UInt32Array::from_iter_values(found)),
        Arc::new(ListArray::try_new(of_face, lengths, Arc::new(face_columns(&faces)?), None)?),
    ];
    StructArray::try_new(OUTCOME.clone(), columns, None)
}

fn face_columns(faces: &[Face]) -> Result<StructArray, ArrowError> {
    let floats = |values: &dyn Fn(&Face) -> Vec<f32>| -> Result<ArrayRef, ArrowError> {
        let rows: Vec<Vec<f32>> = faces.iter().map(values).collect();
        let lengths = OffsetBuffer::from_lengths(rows.iter().map(Vec::len));
        let values = Float32Array::from_iter_values(rows.into_iter().flatten());
        let field = Arc::new(Field::new_list_field(DataType::Float32, false));
        Ok(Arc::new(ListArray::try_new(field, lengths, Arc::new(values), None)?))
    };
    let float = |value: fn(&Face) -> f32| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(faces.iter().map(value)))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt16Array::from_iter_values(faces.iter().map(|face| face.index))),
        Arc::new(UInt32Array::from_iter_values(faces.iter().map(|face| face.variant.0))),
        floats(&|face| face.embedding.as_slice().to_vec())?,
        Arc::new(faces.iter().map(|face| face.norm).collect::<Float32Array>()),
        floats(&|face| face.taps.clone())?,
        floats(&|face| <[f32; 4]>::from(face.bounding_box).to_vec())?,
        floats(&|face| face.landmarks.as_flattened().to_vec())?,
        float(|face| face.score),
        float(|face| face.luminance),
        float(|face| face.sharpness),
    ];
    StructArray::try_new(FACE.clone(), columns, None)
}

/// Reads a column that [`outcomes`] made.
///
/// # Errors
/// A column of another type, or values that no picture has.
pub fn read(column: &ArrayRef) -> Result<Vec<Outcome>, ArrowError> {
    let invalid = |what: String| ArrowError::ParseError(what);
    let expected = outcome_type();
    if column.data_type() != &expected {
        return Err(invalid(format!("expected {expected}, found {}", column.data_type())));
    }
    let columns = column.as_struct().columns();
    let (keys, fingerprints) = (columns[0].as_binary::<i32>(), columns[1].as_string::<i32>());
    let (reasons, details) = (columns[2].as_string::<i32>(), columns[3].as_string::<i32>());
    let found = columns[4].as_primitive::<UInt32Type>();
    let faces = columns[5].as_list::<i32>();
    let row_of = |row: usize| {
        let key = match keys.is_valid(row).then(|| keys.value(row)) {
            Some(bytes) => Some(ImageKey::from_bytes(bytes.try_into().map_err(|_| {
                invalid(format!("expected a key of 32 bytes, found {}", bytes.len()))
            })?)),
            None => None,
        };
        let extraction = if reasons.is_valid(row) {
            let reason = reasons.value(row).parse();
            let reason = reason.map_err(|error| invalid(format!("{error}")))?;
            Extraction::Rejected(Rejection::new(reason, details.value(row)))
        } else {
            Extraction::Embedded { faces: read_faces(&faces.value(row))?, found: found.value(row) }
        };
        Ok(Outcome { key, fingerprint: fingerprints.value(row).to_owned(), extraction })
    };
    (0..column.len()).map(row_of).collect()
}

fn read_faces(column: &ArrayRef) -> Result<Vec<Face>, ArrowError> {
    let invalid = |what: String| ArrowError::ParseError(what);
    let columns = column.as_struct().columns();
    let float = |place: usize| columns[place].as_primitive::<Float32Type>();
    let floats = |place: usize, row: usize| {
        let list: ArrayRef = columns[place].as_list::<i32>().value(row);
        list.as_primitive::<Float32Type>().values().to_vec()
    };
    let face = |row: usize| {
        let embedding =
            Embedding::new(floats(2, row)).map_err(|error| invalid(error.to_string()))?;
        let edges: [f32; 4] = floats(5, row)
            .try_into()
            .map_err(|found: Vec<f32>| invalid(format!("a box of {} values", found.len())))?;
        let points = floats(6, row);
        let (points, rest) = points.as_chunks::<2>();
        let landmarks = match <[[f32; 2]; 5]>::try_from(points) {
            Ok(landmarks) if rest.is_empty() => landmarks,
            _ => return Err(invalid(format!("{} landmarks", points.len()))),
        };
        Ok(Face {
            index: columns[0].as_primitive::<UInt16Type>().value(row),
            variant: FaceVariant(columns[1].as_primitive::<UInt32Type>().value(row)),
            embedding,
            norm: float(3).is_valid(row).then(|| float(3).value(row)),
            taps: floats(4, row),
            bounding_box: BoundingBox::from(edges),
            landmarks,
            score: float(7).value(row),
            luminance: float(8).value(row),
            sharpness: float(9).value(row),
        })
    };
    (0..column.len()).map(face).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ballista::datafusion::arrow::array::ArrayRef;
    use facefold::core::{
        Embedding, Extraction, Face, FaceVariant, ImageKey, RejectReason, Rejection,
    };

    use super::{Outcome, outcomes, read};

    #[test]
    fn outcomes_come_back_to_the_bit() {
        let face = |index: u16, norm: Option<f32>, taps: usize| Face {
            index,
            variant: FaceVariant(u32::from(index) + 1),
            embedding: Embedding::new(vec![0.1, -2.5e-30, f32::from(index)]).unwrap(),
            norm,
            taps: vec![1.0 / 3.0; taps],
            bounding_box: [1.0, 2.0, 3.5, 4.25].into(),
            landmarks: [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, -0.0]],
            score: 0.75,
            luminance: f32::NAN,
            sharpness: 12.5,
        };
        let of = |key: Option<u8>, extraction: Extraction| Outcome {
            key: key.map(|byte| ImageKey::of(&[byte])),
            fingerprint: "abc".to_owned(),
            extraction,
        };
        let rejected = |reason| Extraction::Rejected(Rejection::new(reason, "why"));
        let two = vec![face(0, None, 4), face(1, Some(3.5), 0)];
        let all = [
            of(Some(1), Extraction::Embedded { faces: two, found: 7 }),
            of(None, rejected(RejectReason::Unreadable)),
            of(Some(2), rejected(RejectReason::NoFace)),
            of(Some(3), Extraction::Embedded { faces: vec![face(2, None, 1)], found: 1 }),
        ];
        let column: ArrayRef = Arc::new(outcomes(&all).unwrap());
        // NaN is unequal to itself.
        assert_eq!(format!("{:?}", read(&column).unwrap()), format!("{all:?}"));
        assert_eq!(format!("{:?}", read(&column.slice(2, 2)).unwrap()), format!("{:?}", &all[2..]));
        assert!(read(&column.slice(0, 0)).unwrap().is_empty());
        let other: ArrayRef = Arc::new(outcomes(&all).unwrap().column(1).clone());
        assert!(read(&other).is_err());
    }
}
