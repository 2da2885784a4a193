//! NumPy's arrays: from their bytes, or from the entries of `jsonpickle.ext.numpy`.

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::node::{Node, index};
use super::{JsonpickleError, Value, bytes, form, tag};

/// Most values of an array: nothing in a face's entry has more than an embedding's 512.
const MOST_VALUES: usize = 1 << 16;

/// An element type, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float32,
    Float64,
    Int32,
    Int64,
}

impl Kind {
    /// From NumPy's code and byte order.
    pub(super) fn from_code(code: &str, order: &str) -> Result<Self, JsonpickleError> {
        if order != "<" {
            return Err(form("little-endian values"));
        }
        match code {
            "f4" => Ok(Self::Float32),
            "f8" => Ok(Self::Float64),
            "i4" => Ok(Self::Int32),
            "i8" => Ok(Self::Int64),
            other => Err(tag(other)),
        }
    }

    fn from_name(name: &str) -> Result<Self, JsonpickleError> {
        match name {
            "float32" => Ok(Self::Float32),
            "float64" => Ok(Self::Float64),
            "int32" => Ok(Self::Int32),
            "int64" => Ok(Self::Int64),
            other => Err(tag(other)),
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Float32 | Self::Int32 => 4,
            Self::Float64 | Self::Int64 => 8,
        }
    }

    /// The values of an array from its bytes, which must be exactly as many as the shape says.
    pub(super) fn values(
        self,
        bytes: &[u8],
        shape: &[usize],
        by_column: bool,
    ) -> Result<Vec<f64>, JsonpickleError> {
        let count = count(shape)?;
        if bytes.len() != count * self.size() {
            return Err(form("as many bytes as the shape of the array says"));
        }
        let values: Vec<f64> = match self {
            Self::Float32 => words(bytes).map(|word| f64::from(f32::from_le_bytes(word))).collect(),
            Self::Float64 => words(bytes).map(f64::from_le_bytes).collect(),
            Self::Int32 => words(bytes).map(|word| f64::from(i32::from_le_bytes(word))).collect(),
            Self::Int64 => words(bytes).map(|word| i64::from_le_bytes(word) as f64).collect(),
        };
        match (by_column, shape) {
            (true, &[rows, columns]) => Ok((0..rows * columns)
                .map(|place| values[place % columns * rows + place / columns])
                .collect()),
            (true, shape) if shape.len() > 2 => Err(form("an array with its values row by row")),
            _ => Ok(values),
        }
    }
}

/// An entry that `jsonpickle.ext.numpy` wrote: a scalar, or an array as numbers or as bytes.
pub(super) fn from_extension(
    name: &str,
    entries: &[(String, Node)],
) -> Result<Value, JsonpickleError> {
    let entry = |wanted: &str| entries.iter().find(|(name, _)| name == wanted).map(|(_, v)| v);
    let text = |wanted: &str| match entry(wanted) {
        Some(Node::Text(text)) => Ok(text.as_str()),
        _ => Err(form("the entries of a NumPy array or scalar")),
    };
    let known = ["py/object", "dtype", "values", "value", "shape", "byteorder", "order"];
    if let Some((unknown, _)) = entries.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        return Err(tag(unknown));
    }
    if let Some(scalar) = name.strip_prefix("numpy.")
        && scalar != "ndarray"
    {
        Kind::from_name(scalar)?;
        return match entry("value") {
            Some(Node::Number(value)) => Ok(Value::Number(*value)),
            Some(Node::Null) => Ok(Value::Null),
            _ => Err(form("the value of a NumPy scalar")),
        };
    }
    if name != "numpy.ndarray" {
        return Err(tag(name));
    }
    let kind = Kind::from_name(text("dtype")?)?;
    match entry("values") {
        Some(Node::Text(packed)) => {
            if text("byteorder")? != "<" {
                return Err(form("little-endian values"));
            }
            let Some(Node::List(shape)) = entry("shape") else {
                return Err(form("the shape of an array"));
            };
            let shape = shape.iter().map(index).collect::<Option<Vec<usize>>>();
            let shape = shape.ok_or_else(|| form("the shape of an array"))?;
            let by_column = entry("order").is_some_and(|order| *order == Node::Text("F".into()));
            let size = count(&shape)? * kind.size();
            let mut contents = Vec::new();
            // One byte more than allowed detects a longer array, and unpacks no more.
            ZlibDecoder::new(bytes(packed)?.as_slice())
                .take(size as u64 + 1)
                .read_to_end(&mut contents)
                .map_err(|_| form("bytes that zlib packed"))?;
            let values = kind.values(&contents, &shape, by_column)?;
            Ok(Value::Array { shape, values })
        }
        Some(values) => {
            let (mut shape, mut flat) = (Vec::new(), Vec::new());
            flatten(values, 0, &mut shape, &mut flat)?;
            Ok(Value::Array { shape, values: flat })
        }
        None => Err(form("the values of an array")),
    }
}

/// The numbers of nested lists, which must be as long as their neighbours.
fn flatten(
    node: &Node,
    depth: usize,
    shape: &mut Vec<usize>,
    flat: &mut Vec<f64>,
) -> Result<(), JsonpickleError> {
    let even = || form("lists of numbers of one length");
    match node {
        Node::List(items) => {
            match shape.get(depth) {
                None if flat.is_empty() => shape.push(items.len()),
                Some(length) if *length == items.len() => {}
                _ => return Err(even()),
            }
            items.iter().try_for_each(|item| flatten(item, depth + 1, shape, flat))
        }
        Node::Number(_) | Node::Null if depth == shape.len() && flat.len() < MOST_VALUES => {
            flat.push(if let Node::Number(value) = node { *value } else { f64::NAN });
            Ok(())
        }
        _ => Err(even()),
    }
}

fn count(shape: &[usize]) -> Result<usize, JsonpickleError> {
    let count = shape.iter().try_fold(1_usize, |count, length| count.checked_mul(*length));
    count
        .filter(|count| *count <= MOST_VALUES)
        .ok_or_else(|| form("an array of some hundred values"))
}

fn words<const SIZE: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; SIZE]> + '_ {
    bytes.chunks_exact(SIZE).map(|chunk| std::array::from_fn(|index| chunk[index]))
}
