//! Picture files: containers, entropy-coded data, embedded profiles and EXIF.

use std::io::Cursor;

use facefold_vision::decode::{Limits, inspect, is_picture};
use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, Rgb, RgbImage, RgbaImage};

/// Small, so that a run stays within its memory and no input takes long for its size alone.
const LIMITS: Limits = Limits { pixels: 4_000_000, memory: 128 << 20, shorter_side: 1 };

pub(crate) fn decoded(bytes: &[u8]) {
    let Ok(inspected) = inspect(bytes, &LIMITS) else { return };
    assert!(is_picture(bytes));
    assert!(inspected.pixels() <= LIMITS.pixels);
    if let Ok(picture) = inspected.decode() {
        let pixels = u64::from(picture.width()) * u64::from(picture.height());
        assert_eq!(pixels, inspected.pixels());
    }
}

/// As [`decoded`], after giving each chunk its checksum.
pub(crate) fn png(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let mut at = 8;
    while let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let end = at + 8 + u32::from_be_bytes(*length) as usize;
        let Some(content) = bytes.get(at + 4..end) else { break };
        let sum = crc32fast::hash(content).to_be_bytes();
        let Some(place) = bytes.get_mut(end..end + 4) else { break };
        place.copy_from_slice(&sum);
        at = end + 4;
    }
    decoded(&bytes);
}

fn drawn() -> RgbImage {
    RgbImage::from_fn(20, 17, |x, y| Rgb([(x * 12) as u8, (x * y) as u8, ((x ^ y) * 9) as u8]))
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A TIFF structure that says nothing but how the picture is turned.
fn exif(orientation: u8) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    bytes.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// A few of every kind that libjpeg writes, and one with EXIF and a colour profile.
pub(crate) fn jpegs() -> Vec<Vec<u8>> {
    let mut rest: &[u8] = include_bytes!("../../vision/tests/fixtures/jpegs.bin");
    let mut all = Vec::new();
    // `make_jpegs.py` next to it says how it is laid out.
    while let Some((&name, after)) = rest.split_first() {
        let (length, after) = after[usize::from(name)..].split_first_chunk().unwrap();
        let (file, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        all.push(file.to_vec());
        let (&pixels, after) = after.split_first().unwrap();
        rest = &after[usize::from(pixels) * 53 * 37 * 3..];
    }
    let mut seeds: Vec<Vec<u8>> = all.into_iter().step_by(9).collect();
    let plain = encoded(drawn(), ImageFormat::Jpeg);
    let segment = |marker: u8, content: &[u8]| {
        let length = (content.len() as u16 + 2).to_be_bytes();
        [&[0xff, marker], &length[..], content].concat()
    };
    let exif = segment(0xe1, &[b"Exif\0\0", &exif(6)[..]].concat());
    let profile = segment(0xe2, b"ICC_PROFILE\0\x01\x01no profile");
    seeds.push([&plain[..2], &exif, &profile, &plain[2..]].concat());
    seeds
}

pub(crate) fn pngs() -> Vec<Vec<u8>> {
    let picture = DynamicImage::from(drawn());
    let pictures = [
        picture.clone(),
        picture.to_luma8().into(),
        picture.to_luma_alpha8().into(),
        picture.to_rgba16().into(),
    ];
    let mut seeds: Vec<Vec<u8>> =
        pictures.map(|picture| encoded(picture, ImageFormat::Png)).into_iter().collect();
    let chunk = |kind: &[u8], content: &[u8]| {
        let named = [kind, content].concat();
        let sum = crc32fast::hash(&named).to_be_bytes();
        [&(content.len() as u32).to_be_bytes(), &named[..], &sum].concat()
    };
    let plain = seeds[0].clone();
    let extras = [
        chunk(b"iCCP", b"x\0\0no profile"),
        chunk(b"eXIf", &exif(8)),
        chunk(b"zTXt", b"Comment\0\0text"),
        chunk(b"tRNS", &[0; 6]),
    ];
    seeds.push([&plain[..33], &extras.concat(), &plain[33..]].concat());
    let palette = include_bytes!("../seeds/palette.png").to_vec();
    let mut interlaced = palette.clone();
    interlaced[28] = 1;
    seeds.extend([palette, interlaced]);
    seeds
}

pub(crate) fn webps() -> Vec<Vec<u8>> {
    let lossless = encoded(drawn(), ImageFormat::WebP);
    let with_alpha = encoded(DynamicImage::from(drawn()).to_rgba8(), ImageFormat::WebP);
    let chunk = |kind: &[u8], content: &[u8]| {
        let length = (content.len() as u32).to_le_bytes();
        [kind, &length, content, &[0][..content.len() % 2]].concat()
    };
    let extended = |picture: &[u8]| {
        let mut content = b"WEBP".to_vec();
        content.extend(chunk(b"VP8X", &[0x2c, 0, 0, 0, 19, 0, 0, 16, 0, 0]));
        content.extend(chunk(b"ICCP", b"no profile"));
        content.extend_from_slice(picture);
        content.extend(chunk(b"EXIF", &exif(3)));
        chunk(b"RIFF", &content)
    };
    vec![
        extended(&lossless[12..]),
        lossless,
        with_alpha,
        include_bytes!("../seeds/lossy.webp").to_vec(),
        include_bytes!("../seeds/two.webp").to_vec(),
    ]
}

pub(crate) fn tiffs() -> Vec<Vec<u8>> {
    let picture = DynamicImage::from(drawn());
    vec![
        encoded(picture.clone(), ImageFormat::Tiff),
        encoded(picture.to_luma8(), ImageFormat::Tiff),
        encoded(picture.to_rgba16(), ImageFormat::Tiff),
        encoded(picture.to_rgb32f(), ImageFormat::Tiff),
        include_bytes!("../seeds/tiff_lzw.tif").to_vec(),
        include_bytes!("../seeds/tiff_adobe_deflate.tif").to_vec(),
        include_bytes!("../seeds/packbits.tif").to_vec(),
        include_bytes!("../seeds/group4.tif").to_vec(),
        include_bytes!("../seeds/jpeg.tif").to_vec(),
        include_bytes!("../seeds/cmyk.tif").to_vec(),
        include_bytes!("../seeds/big.tif").to_vec(),
    ]
}

pub(crate) fn gifs_and_bmps() -> Vec<Vec<u8>> {
    let picture = DynamicImage::from(drawn());
    let mut animated = Vec::new();
    let frame = || Frame::new(RgbaImage::new(16, 16));
    GifEncoder::new(&mut animated).encode_frames([frame(), frame()]).unwrap();
    vec![
        encoded(picture.clone(), ImageFormat::Gif),
        animated,
        encoded(picture.clone(), ImageFormat::Bmp),
        encoded(picture.to_luma8(), ImageFormat::Bmp),
        encoded(picture.to_rgba8(), ImageFormat::Bmp),
        include_bytes!("../seeds/palette.gif").to_vec(),
        include_bytes!("../seeds/palette.bmp").to_vec(),
    ]
}
