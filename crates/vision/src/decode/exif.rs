//! How a picture is turned, as its Exif block says.

use image::metadata::Orientation;

use super::tiff::Tiff;

/// The tag of the orientation.
const ORIENTATION: u16 = 274;

/// The orientation in an Exif block, which some writers start with the name that it has in a JPEG.
pub(super) fn orientation(block: &[u8]) -> Option<Orientation> {
    let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    let tiff = Tiff::open(block)?;
    let tags = tiff.tags(tiff.first()?)?;
    tiff.number(&tags, ORIENTATION).and_then(from_number)
}

/// The orientation in the first of a TIFF's tags.
pub(super) fn of_page(tiff: &Tiff<'_>, tags: &[(u16, usize)]) -> Orientation {
    let number = tiff.number(tags, ORIENTATION);
    number.and_then(from_number).unwrap_or(Orientation::NoTransforms)
}

fn from_number(number: usize) -> Option<Orientation> {
    Orientation::from_exif(u8::try_from(number).ok()?)
}

#[cfg(test)]
mod tests {
    use image::metadata::Orientation;

    use super::orientation;

    /// A block with one tag of this type and value.
    fn block(big: bool, kind: u16, value: u32) -> Vec<u8> {
        let two = |number: u16| if big { number.to_be_bytes() } else { number.to_le_bytes() };
        let four = |number: u32| if big { number.to_be_bytes() } else { number.to_le_bytes() };
        let mut bytes = if big { b"MM".to_vec() } else { b"II".to_vec() };
        bytes.extend(
            [two(42).as_slice(), &four(8), &two(1), &two(274), &two(kind), &four(1)].concat(),
        );
        match kind {
            3 => bytes.extend([two(value as u16), [0; 2]].concat()),
            _ => bytes.extend(four(value)),
        }
        bytes
    }

    #[test]
    fn orientation_is_read_whatever_the_type_and_the_start() {
        for big in [false, true] {
            for kind in [3, 4] {
                let block = block(big, kind, 6);
                assert_eq!(orientation(&block), Some(Orientation::Rotate90));
                let named = [b"Exif\0\0".as_slice(), &block].concat();
                assert_eq!(orientation(&named), Some(Orientation::Rotate90));
                assert_eq!(orientation(&block[..block.len() - 1]), None);
            }
            assert_eq!(orientation(&block(big, 2, 6)), None);
            assert_eq!(orientation(&block(big, 4, 9)), None);
            assert_eq!(orientation(&block(big, 4, 262)), None);
        }
        assert_eq!(orientation(b""), None);
        assert_eq!(orientation(b"Exif\0\0"), None);
    }
}
