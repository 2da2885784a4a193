//! MATLAB level 5 MAT-files, as far as label metadata needs them: structs of numbers, text and
//! cells, compressed or not.
//!
//! Layout after "MAT-File Format" (The `MathWorks`): a header of 128 bytes, then elements of an
//! 8-byte tag (type, size) and their bytes, padded to 8; a small element holds its bytes in the
//! tag. Every size is checked against what is there, so that a corrupt file is an error.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::ZlibDecoder;

/// A value in a MAT-file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Real numbers of any width, in column order.
    Numbers(Vec<f64>),
    /// Characters, in column order.
    Text(String),
    /// A cell array, in column order.
    Cells(Vec<Value>),
    /// A struct of one element: fields by name.
    Fields(BTreeMap<String, Value>),
    /// A kind of value that label metadata does not need, or a field that is not requested.
    Other,
}

/// What is wrong with a MAT-file: what was expected, and what was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MatError {
    pub expected: &'static str,
    pub found: String,
}

type Result<T> = std::result::Result<T, MatError>;

/// Bytes before the first element.
const HEADER: usize = 128;
/// A file may unpack to so many times its length, and its values may take as much again. The
/// published metadata take a tenth of it; a few bytes that expand to gigabytes do not.
const MOST_RATIO: usize = 64;
/// A small file may take this much beyond.
const LEAST_MEMORY: usize = 8 << 20;
/// Memory that a cell takes in the end, as part of a sample: more than here.
const CELL_MEMORY: usize = 200;
/// Cells and structs may hold one another this deep.
const DEEPEST: usize = 8;

// Types of elements.
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT16: u32 = 3;
const UINT16: u32 = 4;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const SINGLE: u32 = 7;
const DOUBLE: u32 = 9;
const INT64: u32 = 12;
const UINT64: u32 = 13;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
const UTF8: u32 = 16;
const UTF16: u32 = 17;

// Classes of matrices.
const CELL: u8 = 1;
const STRUCT: u8 = 2;
const CHAR: u8 = 4;
const FIRST_NUMERIC: u8 = 6;
const LAST_NUMERIC: u8 = 15;

/// Reads all variables of a file; of structs, only the fields that `wanted` names.
pub(crate) fn read(bytes: &[u8], wanted: &[&str]) -> Result<BTreeMap<String, Value>> {
    if bytes.starts_with(b"MATLAB 7.3") {
        return invalid("a MAT-file of level 5 (save with `-v7`)", "one of version 7.3 (HDF5)");
    }
    match bytes.get(124..HEADER) {
        Some([_, _, b'I', b'M']) => {}
        Some([_, _, b'M', b'I']) => {
            return invalid("a little-endian MAT-file", "a big-endian one");
        }
        _ => return invalid("a MAT-file of level 5", "no such header"),
    }
    let mut memory = Memory::of(bytes);
    let mut variables = BTreeMap::new();
    let mut elements = Elements { bytes: &bytes[HEADER..] };
    while let Some((kind, content)) = elements.next()? {
        let unpacked;
        let content = if kind == COMPRESSED {
            unpacked = unpack(content, &Memory::of(bytes))?;
            Elements { bytes: &unpacked }.expect(MATRIX, "a compressed matrix")?
        } else {
            content
        };
        if kind == COMPRESSED || kind == MATRIX {
            let (name, value) = matrix(content, wanted, 0, &mut memory)?;
            variables.insert(name, value);
        }
    }
    Ok(variables)
}

fn invalid<T>(expected: &'static str, found: impl Into<String>) -> Result<T> {
    Err(MatError { expected, found: found.into() })
}

/// Memory that reading a file may still take.
struct Memory(usize);

impl Memory {
    fn of(file: &[u8]) -> Self {
        Self(file.len().saturating_mul(MOST_RATIO).saturating_add(LEAST_MEMORY))
    }

    fn take(&mut self, bytes: usize) -> Result<()> {
        match self.0.checked_sub(bytes) {
            Some(left) => self.0 = left,
            None => return too_much(),
        }
        Ok(())
    }
}

fn too_much<T>() -> Result<T> {
    let expected = "values that take at most 64 times the memory of the file";
    invalid(expected, "more: this is no list of pictures")
}

fn unpack(packed: &[u8], memory: &Memory) -> Result<Vec<u8>> {
    let broken = |error: std::io::Error| MatError {
        expected: "a readable compressed element",
        found: error.to_string(),
    };
    // Once to know how much it is, so that no more is reserved.
    let mut counted = ZlibDecoder::new(packed).take(memory.0 as u64 + 1);
    let length = std::io::copy(&mut counted, &mut std::io::sink()).map_err(broken)? as usize;
    if length > memory.0 {
        return too_much();
    }
    let mut unpacked = Vec::with_capacity(length);
    ZlibDecoder::new(packed).read_to_end(&mut unpacked).map_err(broken)?;
    Ok(unpacked)
}

/// Elements that follow one another.
struct Elements<'a> {
    bytes: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The next element's type and content; none at the end.
    fn next(&mut self) -> Result<Option<(u32, &'a [u8])>> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let (Some(first), Some(second)) = (word(self.bytes, 0), word(self.bytes, 4)) else {
            return invalid("a tag of 8 bytes", format!("{} bytes", self.bytes.len()));
        };
        let small = (first >> 16) as usize;
        let (kind, start, length, taken) = if small > 0 {
            (first & 0xffff, 4, small, 8)
        } else {
            // Compressed elements are not padded, all others are, but for the last's missing tail.
            let length = second as usize;
            let padded = if first == COMPRESSED { length } else { length.next_multiple_of(8) };
            (first, 8, length, 8 + padded)
        };
        match self.bytes.get(start..start + length) {
            Some(content) if small <= 4 => {
                self.bytes = self.bytes.get(taken..).unwrap_or_default();
                Ok(Some((kind, content)))
            }
            _ => invalid(
                "an element within the file (is the download complete?)",
                format!("one of {length} bytes where {} are left", self.bytes.len()),
            ),
        }
    }

    fn expect(&mut self, kind: u32, expected: &'static str) -> Result<&'a [u8]> {
        match self.next()? {
            Some((found, content)) if found == kind => Ok(content),
            Some((found, _)) => invalid(expected, format!("an element of type {found}")),
            None => invalid(expected, "the end"),
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A matrix element's name and value.
fn matrix(
    content: &[u8],
    wanted: &[&str],
    depth: usize,
    memory: &mut Memory,
) -> Result<(String, Value)> {
    memory.take(CELL_MEMORY)?;
    if content.is_empty() {
        return Ok((String::new(), Value::Numbers(Vec::new())));
    }
    if depth > DEEPEST {
        return invalid("cells and structs at most 8 deep", "more");
    }
    let mut parts = Elements { bytes: content };
    let flags = parts.expect(UINT32, "a matrix's flags")?;
    let class = flags.first().copied().unwrap_or(0);
    let dimensions = parts.expect(INT32, "a matrix's dimensions")?;
    let mut sizes = dimensions.chunks_exact(4).filter_map(|size| word(size, 0)).map(|n| n as usize);
    let Some(count) = sizes.try_fold(1_usize, usize::checked_mul) else {
        return invalid("dimensions that fit in memory", "larger ones");
    };
    let name = text(INT8, parts.expect(INT8, "a matrix's name")?);
    let value = match class {
        CELL => Value::Cells(cells(&mut parts, count, wanted, depth, memory)?),
        STRUCT if count == 1 => Value::Fields(fields(&mut parts, wanted, depth, memory)?),
        CHAR => match parts.next()? {
            Some((kind, characters)) => {
                memory.take(2 * characters.len())?;
                Value::Text(text(kind, characters))
            }
            None => Value::Text(String::new()),
        },
        FIRST_NUMERIC..=LAST_NUMERIC => {
            let Some((kind, content)) = parts.next()? else {
                return invalid("the numbers of a matrix", "none");
            };
            // Eight bytes each, however narrow they are in the file.
            memory.take(8 * content.len())?;
            let numbers = numbers(kind, content)?;
            if numbers.len() != count {
                return invalid(
                    "as many numbers as the dimensions have",
                    numbers.len().to_string(),
                );
            }
            Value::Numbers(numbers)
        }
        _ => Value::Other,
    };
    Ok((name, value))
}

fn cells(
    parts: &mut Elements<'_>,
    count: usize,
    wanted: &[&str],
    depth: usize,
    memory: &mut Memory,
) -> Result<Vec<Value>> {
    // Not reserved by `count`, which may be anything in a corrupt file.
    let mut cells = Vec::new();
    for _ in 0..count {
        let content = parts.expect(MATRIX, "a cell")?;
        cells.push(matrix(content, wanted, depth + 1, memory)?.1);
    }
    Ok(cells)
}

fn fields(
    parts: &mut Elements<'_>,
    wanted: &[&str],
    depth: usize,
    memory: &mut Memory,
) -> Result<BTreeMap<String, Value>> {
    let length = parts.expect(INT32, "the length of field names")?;
    let length = word(length, 0).map_or(0, |length| length as usize);
    let names = parts.expect(INT8, "the field names of a struct")?;
    if length == 0 {
        return invalid("field names", "names of length 0");
    }
    let mut fields = BTreeMap::new();
    for name in names.chunks_exact(length) {
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(length);
        let name = text(INT8, &name[..end]);
        let content = parts.expect(MATRIX, "a field of a struct")?;
        let value = if wanted.contains(&name.as_str()) {
            matrix(content, wanted, depth + 1, memory)?.1
        } else {
            Value::Other
        };
        fields.insert(name, value);
    }
    Ok(fields)
}

/// Characters as text; what cannot be read becomes the replacement character.
fn text(kind: u32, content: &[u8]) -> String {
    match kind {
        UINT16 | UTF16 => {
            let units: Vec<u16> = content
                .chunks_exact(2)
                .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
                .collect();
            String::from_utf16_lossy(&units)
        }
        UTF8 => String::from_utf8_lossy(content).into_owned(),
        // One byte a character, as Latin-1.
        _ => content.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// Numbers of any width as f64; the whole numbers of label metadata are far below 2^53.
fn numbers(kind: u32, content: &[u8]) -> Result<Vec<f64>> {
    fn each<const N: usize>(content: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        content.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()
    }
    Ok(match kind {
        INT8 => each(content, |bytes| f64::from(i8::from_le_bytes(bytes))),
        UINT8 => each(content, |bytes| f64::from(u8::from_le_bytes(bytes))),
        INT16 => each(content, |bytes| f64::from(i16::from_le_bytes(bytes))),
        UINT16 => each(content, |bytes| f64::from(u16::from_le_bytes(bytes))),
        INT32 => each(content, |bytes| f64::from(i32::from_le_bytes(bytes))),
        UINT32 => each(content, |bytes| f64::from(u32::from_le_bytes(bytes))),
        SINGLE => each(content, |bytes| f64::from(f32::from_le_bytes(bytes))),
        DOUBLE => each(content, f64::from_le_bytes),
        INT64 => each(content, |bytes| i64::from_le_bytes(bytes) as f64),
        UINT64 => each(content, |bytes| u64::from_le_bytes(bytes) as f64),
        other => return invalid("numbers", format!("an element of type {other}")),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Value, read};

    /// Made by `tests/fixtures/make_mat.py`:
    /// `{'a': [1.5, -2.0], 'n': uint16 [7, 300], 't': 'héy', 'c': cells of text, 'skip': zeros}`.
    const PLAIN: &[u8] = include_bytes!("../tests/fixtures/small_plain.mat");
    const PACKED: &[u8] = include_bytes!("../tests/fixtures/small_packed.mat");
    const WANTED: [&str; 4] = ["a", "n", "t", "c"];

    #[test]
    fn reads_what_scipy_wrote() {
        for bytes in [PLAIN, PACKED] {
            let variables = read(bytes, &WANTED).unwrap();
            let Some(Value::Fields(fields)) = variables.get("wiki") else {
                panic!("{variables:?}")
            };
            assert_eq!(fields["a"], Value::Numbers(vec![1.5, -2.0]));
            assert_eq!(fields["n"], Value::Numbers(vec![7.0, 300.0]));
            assert_eq!(fields["t"], Value::Text("héy".to_owned()));
            let texts = ["x", "long text here"].map(|text| Value::Text(text.to_owned()));
            assert_eq!(fields["c"], Value::Cells(texts.to_vec()));
            assert_eq!(fields["skip"], Value::Other);
        }
    }

    #[test]
    fn other_files_are_an_error_with_the_reason() {
        for (bytes, expected) in [
            (b"MATLAB 7.3 MAT-file".as_slice(), "one of version 7.3 (HDF5)"),
            (b"file,age".as_slice(), "no such header"),
            (&PLAIN[..PLAIN.len() - 40], "are left"),
        ] {
            assert!(read(bytes, &WANTED).unwrap_err().found.contains(expected));
        }
        assert!(read(&PACKED[..PACKED.len() - 9], &WANTED).is_err());
    }

    /// An element with its tag and padding.
    fn element(kind: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend((content.len() as u32).to_le_bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn named(class: u8, count: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = element(super::UINT32, &[class, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(element(super::INT32, &[1_u32.to_le_bytes(), count.to_le_bytes()].concat()));
        bytes.extend(element(super::INT8, b"wiki"));
        bytes.extend(content);
        element(super::MATRIX, &bytes)
    }

    #[test]
    fn a_decompression_bomb_is_refused() {
        // 2 million bytes as numbers, and 2 million empty cells.
        let numbers =
            named(super::FIRST_NUMERIC, 2 << 20, &element(super::UINT8, &vec![0; 2 << 20]));
        let cells = vec![element(super::MATRIX, b""); 2 << 20].concat();
        let cells = named(super::CELL, 2 << 20, &cells);
        let zeros = vec![0; 32 << 20];
        for unpacked in [numbers, cells, zeros] {
            let mut packed =
                flate2::read::ZlibEncoder::new(unpacked.as_slice(), flate2::Compression::fast());
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut packed, &mut content).unwrap();
            let mut file = PLAIN[..super::HEADER].to_vec();
            file.extend(element(super::COMPRESSED, &content));
            let found = read(&file, &WANTED).unwrap_err();
            assert!(found.expected.contains("64 times"), "{found:?}");
        }
    }

    proptest! {
        #[test]
        fn corrupt_files_are_an_error_or_a_result(at in 128..PLAIN.len(), byte: u8, packed: bool) {
            let mut bytes = if packed { PACKED } else { PLAIN }.to_vec();
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            let answer = read(&bytes, &WANTED);
            prop_assert!(answer.is_ok() || !answer.unwrap_err().found.is_empty());
        }
    }
}
