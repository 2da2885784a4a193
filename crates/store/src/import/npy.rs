//! NPY files (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>): versions 1
//! to 3, little-endian floats of 16, 32 and 64 bits, in C and in Fortran order.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err as fs;
use half::f16;

use super::{BLOCK_BYTES, Block, ImportError};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// A longer header is none of a plain matrix.
const LONGEST_HEADER: usize = 1 << 20;

const SAVE: &str = "save it with `numpy.save(FILE, x.astype('<f4'))`";

/// What a file says of its values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The type of a value: `<f4`.
    pub(super) dtype: String,
    /// Whether columns lie one after the other.
    fortran: bool,
    pub(super) shape: Vec<usize>,
    /// Bytes before the values.
    pub(super) length: u64,
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    F16,
    F32,
    F64,
}

impl Number {
    fn of(dtype: &str) -> Option<Self> {
        match dtype {
            "<f2" => Some(Self::F16),
            "<f4" => Some(Self::F32),
            "<f8" => Some(Self::F64),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Calls `each` with the values in some bytes.
    fn decode(self, bytes: &[u8], mut each: impl FnMut(f32)) {
        match self {
            Self::F16 => {
                bytes.as_chunks().0.iter().for_each(|b| each(f16::from_le_bytes(*b).to_f32()));
            }
            Self::F32 => bytes.as_chunks().0.iter().for_each(|b| each(f32::from_le_bytes(*b))),
            Self::F64 => {
                bytes.as_chunks().0.iter().for_each(|b| each(f64::from_le_bytes(*b) as f32));
            }
        }
    }
}

impl Header {
    /// Reads the header from the start of a file.
    pub(super) fn read(reader: &mut impl Read, path: &Path) -> Result<Self, ImportError> {
        let no = |found: &str| ImportError::file(path, "an array in NumPy's format", found, SAVE);
        let ended = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => no("a file that ends in its header"),
            _ => named(&error, path),
        };
        let mut start = [0; 8];
        reader.read_exact(&mut start).map_err(ended)?;
        let (magic, version) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(no(&format!("`{}` at its start", magic.escape_ascii())));
        }
        let (size, length) = match version[0] {
            1 => {
                let mut bytes = [0; 2];
                reader.read_exact(&mut bytes).map_err(ended)?;
                (2, u16::from_le_bytes(bytes) as usize)
            }
            2 | 3 => {
                let mut bytes = [0; 4];
                reader.read_exact(&mut bytes).map_err(ended)?;
                (4, u32::from_le_bytes(bytes) as usize)
            }
            other => return Err(no(&format!("version {other} of the format"))),
        };
        if length > LONGEST_HEADER {
            return Err(no(&format!("a header of {length} bytes")));
        }
        let mut text = vec![0; length];
        reader.read_exact(&mut text).map_err(ended)?;
        let text = String::from_utf8_lossy(&text);
        let (dtype, fortran, shape) =
            parsed(&text).ok_or_else(|| no(&format!("the header `{}`", text.trim())))?;
        Ok(Self { dtype, fortran, shape, length: (start.len() + size + length) as u64 })
    }
}

/// Type, order and shape of `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
fn parsed(text: &str) -> Option<(String, bool, Vec<usize>)> {
    let value = |name: &str| {
        let (_, rest) = text.split_once(&format!("'{name}'"))?;
        Some(rest.trim_start().strip_prefix(':')?.trim_start())
    };
    let dtype = value("descr")?;
    let dtype = match dtype.strip_prefix('\'') {
        Some(rest) => rest.split_once('\'')?.0,
        // Fields with names: shown as they are.
        None => dtype.split_once(", 'fortran_order'")?.0,
    };
    let order = value("fortran_order")?;
    let fortran = match (order.starts_with("True"), order.starts_with("False")) {
        (true, _) => true,
        (_, true) => false,
        _ => return None,
    };
    let (shape, _) = value("shape")?.strip_prefix('(')?.split_once(')')?;
    let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape = sides.map(|side| side.parse().ok()).collect::<Option<_>>()?;
    Some((dtype.to_owned(), fortran, shape))
}

/// A matrix of floats.
#[derive(Debug)]
pub(super) struct Matrix {
    path: PathBuf,
    file: File,
    /// Where the values begin.
    start: u64,
    rows: usize,
    width: usize,
    number: Number,
    fortran: bool,
}

impl Matrix {
    /// Opens an NPY file.
    pub(super) fn open(path: &Path) -> Result<Self, ImportError> {
        let mut file = fs::File::open(path)?;
        let header = Header::read(&mut file, path)?;
        let start = header.length;
        Self::at(path, path, file.into_parts().0, start, &header)
    }

    /// A matrix whose values begin at a byte of a file. `named` is the path for messages, of an array
    /// with its name.
    pub(super) fn at(
        named: &Path,
        path: &Path,
        file: File,
        start: u64,
        header: &Header,
    ) -> Result<Self, ImportError> {
        let (rows, width, number) = Self::shape(named, header)?;
        let size = file.metadata().map_err(|error| self::named(&error, path))?.len();
        let bytes = Self::bytes(named, header)?;
        if size.saturating_sub(start) < bytes {
            return Err(ImportError::file(
                named,
                format!("{bytes} bytes of values"),
                format!("{}", size.saturating_sub(start)),
                "the file was cut off: write or copy it anew",
            ));
        }
        Ok(Self {
            path: named.to_owned(),
            file,
            start,
            rows,
            width,
            number,
            fortran: header.fortran,
        })
    }

    /// Bytes of a matrix's values.
    pub(super) fn bytes(path: &Path, header: &Header) -> Result<u64, ImportError> {
        let (rows, width, number) = Self::shape(path, header)?;
        let bytes = (rows as u64).checked_mul(width as u64);
        bytes.and_then(|values| values.checked_mul(number.bytes() as u64)).ok_or_else(|| {
            ImportError::file(path, "a matrix", format!("one of {rows} x {width} values"), SAVE)
        })
    }

    fn shape(path: &Path, header: &Header) -> Result<(usize, usize, Number), ImportError> {
        let number = Number::of(&header.dtype).ok_or_else(|| {
            ImportError::file(
                path,
                "little-endian floats (dtype float16 `<f2`, float32 `<f4` or float64 `<f8`)",
                format!("dtype `{}`", header.dtype),
                if header.dtype.contains('O') {
                    "save a matrix and not a list of arrays: `numpy.save(FILE, numpy.stack(rows))`"
                } else {
                    SAVE
                },
            )
        })?;
        match header.shape[..] {
            [rows, width] => Ok((rows, width, number)),
            _ => Err(ImportError::file(
                path,
                "a matrix, a row for each picture",
                format!("an array of shape {:?}", header.shape),
                "reshape it: `x.reshape(len(x), -1)`",
            )),
        }
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

    pub(super) fn blocks(&self) -> Blocks<'_> {
        let bytes = self.width * self.number.bytes();
        Blocks {
            matrix: self,
            next: 0,
            size: (BLOCK_BYTES / bytes.max(1)).max(1),
            bytes: Vec::new(),
        }
    }
}

/// The rows of a matrix, some at a time.
pub(super) struct Blocks<'a> {
    matrix: &'a Matrix,
    next: usize,
    /// Rows of a block.
    size: usize,
    bytes: Vec<u8>,
}

impl Blocks<'_> {
    /// Reads the next rows.
    pub(super) fn read(&mut self, block: &mut Block) -> Result<(), ImportError> {
        let Matrix { rows, width, number, fortran, .. } = *self.matrix;
        let count = self.size.min(rows - self.next);
        if fortran {
            block.values.resize(count * width, 0.0);
            for column in 0..width {
                self.fetch((column * rows + self.next) as u64, count)?;
                let mut row = 0;
                number.decode(&self.bytes, |value| {
                    block.values[row * width + column] = value;
                    row += 1;
                });
            }
        } else {
            self.fetch(self.next as u64 * width as u64, count * width)?;
            number.decode(&self.bytes, |value| block.values.push(value));
        }
        block.missing.resize(count, false);
        self.next += count;
        Ok(())
    }

    /// Reads so many values from a place on.
    fn fetch(&mut self, first: u64, count: usize) -> Result<(), ImportError> {
        let Matrix { file, start, number, path, .. } = self.matrix;
        let size = number.bytes();
        self.bytes.resize(count * size, 0);
        let mut file = file;
        let place = SeekFrom::Start(start + first * size as u64);
        let read = file.seek(place).and_then(|_| file.read_exact(&mut self.bytes));
        read.map_err(|error| named(&error, path))
    }
}

/// A failure of the file system, with the file's name.
pub(super) fn named(error: &io::Error, path: &Path) -> ImportError {
    io::Error::new(error.kind(), format!("cannot read `{}`: {error}", path.display())).into()
}
