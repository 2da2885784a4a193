//! How the outcome of one picture is written as bytes, in the log and for comparing stores.

use facefold_core::{Embedding, Extraction, Face, FaceVariant, ImageKey, RejectReason, Rejection};

const REJECTED: u8 = 0;
const EMBEDDED: u8 = 1;

/// One picture and how it ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) key: ImageKey,
    pub(crate) extraction: Extraction,
}

/// Appends the bytes of a record: key, kind, then the faces or the rejection, little-endian.
pub(crate) fn encode(key: &ImageKey, extraction: &Extraction, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    match extraction {
        Extraction::Rejected(rejection) => {
            out.push(REJECTED);
            encode_text(rejection.reason.as_str(), out);
            encode_text(&rejection.detail, out);
        }
        Extraction::Embedded { faces, found } => {
            out.push(EMBEDDED);
            out.extend_from_slice(&found.to_le_bytes());
            out.extend_from_slice(&(faces.len() as u32).to_le_bytes());
            for face in faces {
                encode_face(face, out);
            }
        }
    }
}

/// Appends the bytes of a face. Equal bytes mean equal bits of every number.
pub(crate) fn encode_face(face: &Face, out: &mut Vec<u8>) {
    out.extend_from_slice(&face.index.to_le_bytes());
    out.extend_from_slice(&face.variant.0.to_le_bytes());
    out.push(u8::from(face.norm.is_some()));
    encode_floats(&[face.norm.unwrap_or_default()], out);
    encode_floats(&<[f32; 4]>::from(face.bounding_box), out);
    encode_floats(face.landmarks.as_flattened(), out);
    encode_floats(&[face.score, face.luminance, face.sharpness], out);
    for values in [face.embedding.as_slice(), &face.taps] {
        out.extend_from_slice(&(values.len() as u32).to_le_bytes());
        encode_floats(values, out);
    }
}

fn encode_floats(values: &[f32], out: &mut Vec<u8>) {
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn encode_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The key of an encoded record, and whether it is a rejection.
pub(crate) fn peek(bytes: &[u8]) -> Option<(ImageKey, bool)> {
    let mut reader = Reader(bytes);
    let key = ImageKey::from_bytes(reader.array()?);
    match reader.array::<1>()? {
        [REJECTED] => Some((key, true)),
        [EMBEDDED] => Some((key, false)),
        _ => None,
    }
}

/// Reads what [`encode`] wrote; none where the bytes are anything else.
pub(crate) fn decode(bytes: &[u8]) -> Option<Record> {
    let (key, rejected) = peek(bytes)?;
    let mut reader = Reader(bytes.get(33..)?);
    let extraction = if rejected {
        let reason: RejectReason = reader.text()?.parse().ok()?;
        Extraction::Rejected(Rejection::new(reason, reader.text()?))
    } else {
        let found = reader.u32()?;
        let count = reader.u32()?;
        let faces = (0..count).map(|_| reader.face()).collect::<Option<Vec<_>>>()?;
        Extraction::Embedded { faces, found }
    };
    reader.0.is_empty().then_some(Record { key, extraction })
}

/// Takes values off the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn floats(&mut self, count: usize) -> Option<Vec<f32>> {
        let bytes = self.take(count.checked_mul(4)?)?;
        Some(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn float_array<const N: usize>(&mut self) -> Option<[f32; N]> {
        self.floats(N)?.try_into().ok()
    }

    fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    fn face(&mut self) -> Option<Face> {
        let index = u16::from_le_bytes(self.array()?);
        let variant = FaceVariant(self.u32()?);
        let has_norm = self.array::<1>()? == [1];
        let [norm] = self.float_array()?;
        let bounding_box: [f32; 4] = self.float_array()?;
        let points: [f32; 10] = self.float_array()?;
        let [score, luminance, sharpness] = self.float_array()?;
        let length = self.u32()? as usize;
        let embedding = Embedding::new(self.floats(length)?).ok()?;
        let length = self.u32()? as usize;
        let taps = self.floats(length)?;
        Some(Face {
            index,
            variant,
            embedding,
            norm: has_norm.then_some(norm),
            taps,
            bounding_box: bounding_box.into(),
            landmarks: landmarks(&points),
            score,
            luminance,
            sharpness,
        })
    }
}

/// Ten numbers x, y, x, y … as five points.
pub(crate) fn landmarks(points: &[f32; 10]) -> [[f32; 2]; 5] {
    std::array::from_fn(|point| [points[2 * point], points[2 * point + 1]])
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use crate::fixtures::{embedded, rejected};
    use facefold_core::ImageKey;

    #[test]
    fn decodes_what_it_encodes_and_nothing_shorter_or_longer() {
        for extraction in [embedded(7, 5, 3), rejected()] {
            let mut bytes = Vec::new();
            let key = ImageKey::of(b"a");
            encode(&key, &extraction, &mut bytes);
            let record = decode(&bytes).unwrap();
            assert_eq!((record.key, &record.extraction), (key, &extraction));
            for length in 0..bytes.len() {
                assert!(decode(&bytes[..length]).is_none(), "{length}");
            }
            bytes.push(0);
            assert!(decode(&bytes).is_none());
        }
    }
}
