//! Pages, tiles and ends of TIFF files, generated here.

use facefold_core::RejectReason;
use flate2::{Compression, read::ZlibEncoder};
use image::RgbImage;

use super::super::{Limits, decode};

const SHORT: u16 = 3;
const LONG: u16 = 4;
const SIDE: u32 = 32;

/// A page: its tags (number, type and values) but for the place of its only strip, and that strip.
struct Page {
    tags: Vec<(u16, u16, Vec<u32>)>,
    strip: Vec<u8>,
}

/// An uncompressed grey page, all of one brightness.
fn page(brightness: u8) -> Page {
    let numbers = [
        (256, SIDE),
        (257, SIDE),
        (258, 8),
        (259, 1),
        (262, 1),
        (277, 1),
        (278, SIDE),
        (279, SIDE * SIDE),
    ];
    Page {
        tags: numbers.map(|(tag, value)| (tag, LONG, vec![value])).to_vec(),
        strip: vec![brightness; (SIDE * SIDE) as usize],
    }
}

impl Page {
    /// With other values of a tag.
    fn with(mut self, tag: u16, kind: u16, values: &[u32]) -> Self {
        self.tags.retain(|(known, ..)| *known != tag);
        self.tags.push((tag, kind, values.to_vec()));
        self
    }
}

/// A file of pages: each one's directory, then its values that do not fit, then its strip.
fn tiff(pages: Vec<Page>) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    let count = pages.len();
    for (number, mut page) in (1..).zip(pages) {
        let start = bytes.len();
        page.tags.push((273, LONG, vec![0]));
        page.tags.sort();
        let values = start + 2 + 12 * page.tags.len() + 4;
        let mut outside: Vec<u8> = Vec::new();
        let mut place = 0;
        bytes.extend((page.tags.len() as u16).to_le_bytes());
        for (tag, kind, numbers) in &page.tags {
            let width = if *kind == SHORT { 2 } else { 4 };
            let mut raw: Vec<u8> =
                numbers.iter().flat_map(|number| number.to_le_bytes()[..width].to_vec()).collect();
            if raw.len() > 4 {
                let offset = (values + outside.len()) as u32;
                outside.extend(&raw);
                raw = offset.to_le_bytes().to_vec();
            }
            raw.resize(4, 0);
            bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            bytes.extend((numbers.len() as u32).to_le_bytes());
            if *tag == 273 {
                place = bytes.len();
            }
            bytes.extend(raw);
        }
        let strip = values + outside.len();
        let next = if number == count { 0 } else { strip + page.strip.len() };
        bytes[place..place + 4].copy_from_slice(&(strip as u32).to_le_bytes());
        bytes.extend((next as u32).to_le_bytes());
        bytes.extend(outside);
        bytes.extend(page.strip);
    }
    bytes
}

fn decoded(pages: Vec<Page>) -> RgbImage {
    decode(&tiff(pages), &Limits::default()).unwrap()
}

#[test]
fn the_picture_is_decoded_and_not_a_preview_before_it() {
    let preview = || page(10).with(254, LONG, &[1]);
    for pages in [
        vec![page(200)],
        vec![page(200), preview()],
        vec![preview(), page(200)],
        vec![preview(), preview(), page(200), preview()],
    ] {
        assert!(decoded(pages).iter().all(|&sample| sample == 200));
    }
    assert!(decoded(vec![preview()]).iter().all(|&sample| sample == 10));
    let previews = tiff((0..20).map(|_| preview()).chain([page(200)]).collect());
    let rejection = decode(&previews, &Limits::default()).unwrap_err();
    assert!(rejection.detail.contains("reduced copies"), "{rejection:?}");
}

#[test]
fn a_preview_is_turned_and_packed_as_it_likes() {
    let preview = page(10).with(254, LONG, &[1]).with(274, SHORT, &[6]).with(259, SHORT, &[7]);
    let picture = page(200).with(257, LONG, &[20]).with(278, LONG, &[20]);
    let found = decoded(vec![preview, picture]);
    assert_eq!(found.dimensions(), (SIDE, 20));
}

#[test]
fn an_orientation_of_either_type_is_applied() {
    for kind in [SHORT, LONG] {
        let flat = page(200).with(257, LONG, &[20]).with(278, LONG, &[20]);
        assert_eq!(decoded(vec![flat.with(274, kind, &[6])]).dimensions(), (20, SIDE));
    }
}

#[test]
fn tiles_with_a_plane_for_each_colour_are_rejected() {
    let tiles = page(200)
        .with(258, SHORT, &[8, 8, 8])
        .with(262, SHORT, &[2])
        .with(277, SHORT, &[3])
        .with(284, SHORT, &[2])
        .with(322, SHORT, &[16])
        .with(323, SHORT, &[16]);
    let rejection = decode(&tiff(vec![tiles]), &Limits::default()).unwrap_err();
    assert_eq!(rejection.reason, RejectReason::Undecodable);
    assert!(rejection.detail.starts_with("tiles with a plane for each colour"), "{rejection:?}");
}

#[test]
fn a_file_that_ends_behind_its_directory_is_truncated() {
    let mut packed = Vec::new();
    let noise: Vec<u8> = (0..SIDE * SIDE).map(|at| ((at * at) >> 3) as u8).collect();
    let mut encoder = ZlibEncoder::new(noise.as_slice(), Compression::fast());
    std::io::Read::read_to_end(&mut encoder, &mut packed).unwrap();
    let mut deflated = page(0).with(259, SHORT, &[8]).with(279, LONG, &[packed.len() as u32]);
    deflated.strip = packed;
    for page in [page(200), deflated] {
        let whole = tiff(vec![page]);
        assert!(decode(&whole, &Limits::default()).is_ok());
        for kept in [whole.len() - 1, whole.len() - 300] {
            let rejection = decode(&whole[..kept], &Limits::default()).unwrap_err();
            assert_eq!(rejection.reason, RejectReason::Truncated, "{rejection:?}");
        }
    }
}
