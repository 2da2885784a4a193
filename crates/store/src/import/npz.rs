//! NPZ files: ZIP archives of NPY files. Compressed arrays are unpacked into a temporary file, which
//! has no name and ends with the program.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use fs_err as fs;
use zip::{CompressionMethod, ZipArchive};

use super::npy::{self, Header};
use super::{ImportError, Part, choose};

const SAVE: &str = "save it with `numpy.savez(FILE, embeddings=x)`";

/// Most bytes of an array of texts.
const MOST_TEXT: u64 = 1 << 30;

/// Most bytes that are read behind the values of a compressed array, for its checksum.
const MOST_BEHIND: u64 = 1 << 20;

type Archive = ZipArchive<BufReader<File>>;

fn open(path: &Path) -> Result<(Archive, Vec<String>), ImportError> {
    let file = fs::File::open(path)?.into_parts().0;
    let archive = ZipArchive::new(BufReader::new(file)).map_err(|error| unlike(path, &error))?;
    let mut names = Vec::new();
    for name in archive.file_names() {
        let name = name.map_err(|error| unlike(path, &error))?;
        names.extend(name.strip_suffix(".npy").map(str::to_owned));
    }
    Ok((archive, names))
}

fn unlike(path: &Path, error: &dyn std::error::Error) -> ImportError {
    ImportError::file(path, "an archive of NumPy's arrays", error.to_string(), SAVE)
}

/// The path of an array in messages: `FILE.npz[NAME]`.
fn array(path: &Path, name: &str) -> PathBuf {
    format!("{}[{name}]", path.display()).into()
}

/// The matrix of a part of the rows, if there is one.
pub(super) fn matrix(
    path: &Path,
    part: Part,
    alone: bool,
) -> Result<Option<npy::Matrix>, ImportError> {
    let (mut archive, names) = open(path)?;
    let mut floats = Vec::new();
    for name in &names {
        let mut entry = archive.by_name(&format!("{name}.npy")).map_err(|e| unlike(path, &e))?;
        let header = Header::read(&mut entry, &array(path, name))?;
        // Texts and numbers of rows are no candidates; floats of another shape are refused later.
        if header.dtype.contains('f') || header.dtype.contains('O') {
            floats.push(name.as_str());
        }
    }
    let chosen = choose(path, &floats, part, alone, "arrays")?;
    chosen.map(|index| in_archive(&mut archive, path, floats[index])).transpose()
}

fn in_archive(archive: &mut Archive, path: &Path, name: &str) -> Result<npy::Matrix, ImportError> {
    let named = array(path, name);
    let mut entry = archive.by_name(&format!("{name}.npy")).map_err(|e| unlike(path, &e))?;
    let header = Header::read(&mut entry, &named)?;
    if let (CompressionMethod::Stored, false, Some(start)) =
        (entry.compression(), entry.encrypted(), entry.data_start())
    {
        let file = fs::File::open(path)?.into_parts().0;
        let matrix = npy::Matrix::at(&named, path, file, start + header.length, &header)?;
        finish(&mut entry, &named)?;
        return Ok(matrix);
    }
    let bytes = npy::Matrix::bytes(&named, &header)?;
    let mut file = tempfile::tempfile()?;
    io::copy(&mut (&mut entry).take(bytes), &mut file).map_err(|error| damaged(&named, &error))?;
    finish(&mut (&mut entry).take(MOST_BEHIND), &named)?;
    npy::Matrix::at(&named, path, file, 0, &header)
}

/// Reads an array to its end, where its checksum is compared: the values themselves are read without it.
fn finish(entry: &mut impl Read, named: &Path) -> Result<(), ImportError> {
    io::copy(entry, &mut io::sink()).map_err(|error| damaged(named, &error))?;
    Ok(())
}

/// An array that cannot be unpacked, or whose bytes are not those that were packed.
fn damaged(named: &Path, error: &io::Error) -> ImportError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            ImportError::file(
                named,
                "the bytes that were packed, as their checksum says",
                error.to_string(),
                "the file is damaged: write or copy it anew",
            )
        }
        _ => npy::named(error, named),
    }
}

/// The names of the arrays that are no numbers: texts, and Python's objects, which [`texts`] refuses.
pub(super) fn text_arrays(path: &Path) -> Result<Vec<String>, ImportError> {
    let (mut archive, names) = open(path)?;
    let mut found = Vec::new();
    for name in names {
        let mut entry = archive.by_name(&format!("{name}.npy")).map_err(|e| unlike(path, &e))?;
        let header = Header::read(&mut entry, &array(path, &name))?;
        if header.dtype.contains(['U', 'S', 'O']) {
            found.push(name);
        }
    }
    Ok(found)
}

/// The texts of an array (`<U…` or `|S…`).
pub(super) fn texts(path: &Path, name: &str) -> Result<Vec<String>, ImportError> {
    let (mut archive, names) = open(path)?;
    if !names.iter().any(|found| found == name) {
        return Err(ImportError::file(
            path,
            format!("an array `{name}`"),
            format!("the arrays `{}`", names.join("`, `")),
            "name the array with the path of each row",
        ));
    }
    let named = array(path, name);
    let mut entry = archive.by_name(&format!("{name}.npy")).map_err(|e| unlike(path, &e))?;
    let header = Header::read(&mut entry, &named)?;
    let unlike = |found: String| {
        ImportError::file(
            &named,
            "a list of texts (dtype `<U…` or `|S…`)",
            found,
            "save it with `numpy.array(paths, dtype=str)`",
        )
    };
    let (wide, length) = match header.dtype.split_at_checked(2) {
        Some(("<U", length)) => (true, length.parse::<usize>().ok()),
        Some(("|S", length)) => (false, length.parse::<usize>().ok()),
        _ => (false, None),
    };
    let (Some(length), &[rows]) = (length, &header.shape[..]) else {
        return Err(unlike(format!("dtype `{}`, shape {:?}", header.dtype, header.shape)));
    };
    let text = length.saturating_mul(if wide { 4 } else { 1 });
    let bytes = (rows as u64).saturating_mul(text as u64);
    if bytes > MOST_TEXT {
        return Err(unlike(format!("{bytes} bytes of texts")));
    }
    let mut content = Vec::new();
    let mut values = (&mut entry).take(bytes);
    values.read_to_end(&mut content).map_err(|error| damaged(&named, &error))?;
    finish(&mut (&mut entry).take(MOST_BEHIND), &named)?;
    if content.len() as u64 != bytes {
        return Err(unlike(format!("{} of {bytes} bytes", content.len())));
    }
    let texts = (0..rows).map(|row| decoded(&content[row * text..][..text], wide));
    texts.collect::<Option<_>>().ok_or_else(|| unlike("bytes that are no text".to_owned()))
}

/// A text without the zeros behind it.
fn decoded(bytes: &[u8], wide: bool) -> Option<String> {
    let text = if wide {
        let characters = bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        characters.map(char::from_u32).collect::<Option<String>>()?
    } else {
        String::from_utf8(bytes.to_vec()).ok()?
    };
    Some(text.trim_end_matches('\0').to_owned())
}
