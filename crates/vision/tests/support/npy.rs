//! NumPy's file format, as far as crops and embeddings need it.

use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// The bytes of n x 112 x 112 x 3 crops, and n.
pub fn read_crops(path: &Path) -> Result<(usize, Vec<u8>), String> {
    let refused = |problem: &str| {
        format!("{}: {problem}; expected n x 112 x 112 x 3 bytes in .npy", path.display())
    };
    let bytes = fs_err::read(path).map_err(|error| error.to_string())?;
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| refused("no .npy file of version 1"))?;
    let (length, rest) = rest.split_at_checked(2).ok_or_else(|| refused("it is cut off"))?;
    let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let (header, crops) = rest.split_at_checked(length).ok_or_else(|| refused("it is cut off"))?;
    let header = String::from_utf8_lossy(header);
    let count = crops.len() / (112 * 112 * 3);
    let expected =
        format!("'descr': '|u1', 'fortran_order': False, 'shape': ({count}, 112, 112, 3)");
    if header.contains(&expected) {
        Ok((count, crops.to_vec()))
    } else {
        Err(refused(&format!("its header is {}", header.trim())))
    }
}

/// Writes crops of 112 x 112 x 3 bytes.
#[allow(dead_code, reason = "the example only reads crops")]
pub fn write_crops(path: &Path, crops: &[u8]) -> std::io::Result<()> {
    let shape = format!("({}, 112, 112, 3)", crops.len() / (112 * 112 * 3));
    write(path, "|u1", &shape, crops)
}

/// Writes rows of `width` floats.
pub fn write_rows(path: &Path, values: &[f32], width: usize) -> std::io::Result<()> {
    let shape = format!("({}, {width})", values.len() / width);
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    write(path, "<f4", &shape, &bytes)
}

fn write(path: &Path, kind: &str, shape: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    // The format wants the values to start at a multiple of 64.
    let used = MAGIC.len() + 2 + header.len() + 1;
    header.push_str(&" ".repeat(used.next_multiple_of(64) - used));
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    fs_err::write(path, [MAGIC, &length, header.as_bytes(), bytes].concat())
}
