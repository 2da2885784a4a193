//! Every kind of picture file that an extraction meets, generated here.

use std::io::Cursor;

use facefold_core::RejectReason;
use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, Rgb, RgbImage, RgbaImage};
use proptest::prelude::*;

use super::{Limits, decode, inspect};

const RED: [u8; 3] = [220, 30, 30];
const GREEN: [u8; 3] = [30, 200, 40];
const BLUE: [u8; 3] = [40, 40, 210];
const WHITE: [u8; 3] = [240, 240, 240];

/// Four quarters: red and green above, blue and white below; 48 wide, 32 high.
fn quarters() -> RgbImage {
    RgbImage::from_fn(48, 32, |x, y| {
        Rgb(match (x < 24, y < 16) {
            (true, true) => RED,
            (false, true) => GREEN,
            (true, false) => BLUE,
            (false, false) => WHITE,
        })
    })
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

const FORMATS: [ImageFormat; 6] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::WebP,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
    ImageFormat::Gif,
];

fn reason(bytes: &[u8]) -> RejectReason {
    let rejection = decode(bytes, &Limits::default()).unwrap_err();
    assert!(!rejection.detail.is_empty());
    rejection.reason
}

fn close(found: Rgb<u8>, expected: [u8; 3]) -> bool {
    found.0.iter().zip(expected).all(|(&a, b)| a.abs_diff(b) <= 12)
}

#[test]
fn every_format_gives_the_picture() {
    for format in FORMATS {
        let picture = decode(&encoded(quarters(), format), &Limits::default()).unwrap();
        assert_eq!(picture.dimensions(), (48, 32), "{format:?}");
        assert!(close(*picture.get_pixel(12, 8), RED), "{format:?}");
        assert!(close(*picture.get_pixel(36, 24), WHITE), "{format:?}");
        if !matches!(format, ImageFormat::Jpeg | ImageFormat::Gif) {
            assert_eq!(picture, quarters(), "{format:?} is lossless");
        }
    }
}

/// An EXIF block that holds nothing but an orientation, with the name that it has in a JPEG.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    block
}

/// A JPEG with an EXIF segment.
fn oriented(orientation: u8) -> Vec<u8> {
    let tiff = exif(orientation);
    let plain = encoded(quarters(), ImageFormat::Jpeg);
    let mut bytes = plain[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend((tiff.len() as u16 + 2).to_be_bytes());
    bytes.extend(tiff);
    bytes.extend(&plain[2..]);
    bytes
}

#[test]
fn exif_orientation_is_applied() {
    // Upper left, upper right, lower left and lower right quarter of the oriented picture, for
    // orientations 1 to 8 of the EXIF standard (tag 0x0112).
    let expected = [
        [RED, GREEN, BLUE, WHITE],
        [GREEN, RED, WHITE, BLUE],
        [WHITE, BLUE, GREEN, RED],
        [BLUE, WHITE, RED, GREEN],
        [RED, BLUE, GREEN, WHITE],
        [BLUE, RED, WHITE, GREEN],
        [WHITE, GREEN, BLUE, RED],
        [GREEN, WHITE, RED, BLUE],
    ];
    for (orientation, quarters) in (1..).zip(expected) {
        let picture = decode(&oriented(orientation), &Limits::default()).unwrap();
        let (w, h) = picture.dimensions();
        assert_eq!((w, h), if orientation < 5 { (48, 32) } else { (32, 48) });
        let centres =
            [(w / 4, h / 4), (3 * w / 4, h / 4), (w / 4, 3 * h / 4), (3 * w / 4, 3 * h / 4)];
        for ((x, y), quarter) in centres.into_iter().zip(quarters) {
            assert!(close(*picture.get_pixel(x, y), quarter), "orientation {orientation}");
        }
    }
}

#[test]
fn exif_of_png_and_webp_is_applied_with_and_without_its_name() {
    let (png, webp) =
        (encoded(quarters(), ImageFormat::Png), encoded(quarters(), ImageFormat::WebP));
    for block in [&exif(6)[..], &exif(6)[6..]] {
        let chunk = chunk(&[b"eXIf", block].concat());
        let png = [&png[..33], &chunk, &png[33..]].concat();
        let webp = extended_webp(&webp, [47, 31], &[(b"EXIF", block)]);
        for file in [png, webp] {
            assert_eq!(decode(&file, &Limits::default()).unwrap().dimensions(), (32, 48));
        }
    }
}

#[test]
fn grey_alpha_and_sixteen_bits_become_rgb() {
    let plain = DynamicImage::from(quarters());
    for picture in [
        DynamicImage::ImageRgb16(plain.to_rgb16()),
        DynamicImage::ImageRgba8(plain.to_rgba8()),
        DynamicImage::ImageRgba16(plain.to_rgba16()),
    ] {
        let found = decode(&encoded(picture, ImageFormat::Png), &Limits::default()).unwrap();
        assert_eq!(found, quarters());
    }
    let grey = DynamicImage::ImageLuma8(plain.to_luma8());
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let found = decode(&encoded(grey.clone(), format), &Limits::default()).unwrap();
        let Rgb([r, g, b]) = *found.get_pixel(12, 8);
        assert!(r == g && g == b && r.abs_diff(grey.to_luma8().get_pixel(12, 8).0[0]) <= 4);
    }
}

#[test]
fn other_formats_are_not_a_picture() {
    assert_eq!(reason(b""), RejectReason::Empty);
    assert_eq!(reason(b"path,age\na.jpg,35\n"), RejectReason::NotAPicture);
    assert_eq!(reason(b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf"), RejectReason::NotAPicture);
    assert_eq!(reason(&[0xff, 0xd8, 0xff, 0xd9]), RejectReason::Truncated);
    let mut corrupt = encoded(quarters(), ImageFormat::Png);
    let middle = corrupt.len() / 2;
    corrupt[middle] ^= 0x55;
    assert_eq!(reason(&corrupt), RejectReason::Undecodable);
}

#[test]
fn a_file_that_ends_early_is_truncated() {
    for format in FORMATS {
        let whole = encoded(quarters(), format);
        for kept in [whole.len() / 3, whole.len() / 2, whole.len() * 9 / 10, whole.len() - 2] {
            let found = decode(&whole[..kept], &Limits::default()).map(|_| "a picture");
            let found = found.expect_err(&format!("{format:?}, {kept} of {}", whole.len()));
            assert_eq!(found.reason, RejectReason::Truncated, "{format:?} {kept}: {found:?}");
        }
    }
}

#[test]
fn the_end_of_a_thumbnail_is_not_the_end_of_the_picture() {
    let thumbnail = encoded(quarters(), ImageFormat::Jpeg);
    let mut bytes = thumbnail[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend((thumbnail.len() as u16 + 2).to_be_bytes());
    bytes.extend(&thumbnail);
    bytes.extend(&thumbnail[2..]);
    assert!(decode(&bytes, &Limits::default()).is_ok());
    assert_eq!(reason(&bytes[..bytes.len() - 40]), RejectReason::Truncated);
    bytes.extend(b"what some cameras append");
    assert!(decode(&bytes, &Limits::default()).is_ok());
}

#[test]
fn size_limits_are_read_from_the_header() {
    // A PNG header that promises 100,000 x 100,000 pixels and holds none.
    let mut header = b"IHDR".to_vec();
    header.extend(100_000_u32.to_be_bytes());
    header.extend(100_000_u32.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut huge = b"\x89PNG\r\n\x1a\n".to_vec();
    huge.extend(chunk(&header));
    huge.extend(chunk(b"IDAT"));
    huge.extend(chunk(b"IEND"));
    assert_eq!(reason(&huge), RejectReason::TooLarge);

    let mut promised = encoded(quarters(), ImageFormat::Jpeg);
    let frame = promised.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    promised[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    assert_eq!(reason(&promised), RejectReason::TooLarge);

    let limits = Limits { memory: 10_000, ..Limits::default() };
    let rejection = decode(&encoded(quarters(), ImageFormat::Jpeg), &limits).unwrap_err();
    assert_eq!(rejection.reason, RejectReason::TooLarge);
    assert!(rejection.detail.contains("48x32 takes 13824 bytes"), "{}", rejection.detail);

    let strip = RgbImage::new(100, 8);
    assert_eq!(reason(&encoded(strip, ImageFormat::Png)), RejectReason::TooSmall);
    let whole = encoded(quarters(), ImageFormat::Png);
    assert_eq!(inspect(&whole, &Limits::default()).unwrap().pixels(), 48 * 32);
}

#[test]
fn inks_and_floating_point_are_wrong_channels() {
    // from PIL import Image; import io; b = io.BytesIO()
    // Image.new("CMYK", (16, 16), (10, 200, 30, 40)).save(b, "JPEG", quality=5, optimize=True)
    // print(b.getvalue().hex())
    let cmyk = "ffd8ffee000e41646f626500640000000000ffdb004300a06e788c7864a08c828cb4aaa0bef0fffff0dc\
        dcf0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
        ffffffffc000140800100010044311004d11005911004b1100ffc4001500010100000000000000000000\
        000000000003ffc40014100100000000000000000000000000000000ffda000e0443004d0059004b0000\
        3f00b26aa8000000ffd9";
    let cmyk: Vec<u8> = (0..cmyk.len() / 2)
        .map(|i| u8::from_str_radix(&cmyk[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    assert_eq!(reason(&cmyk), RejectReason::WrongChannels);
    let float = DynamicImage::from(quarters()).to_rgb32f();
    let float = encoded(DynamicImage::ImageRgb32F(float), ImageFormat::Tiff);
    assert_eq!(reason(&float), RejectReason::WrongChannels);
}

#[test]
fn several_frames_are_animated() {
    assert_eq!(reason(&animated_gif()), RejectReason::Animated);
    assert_eq!(reason(&animated_png()), RejectReason::Animated);
    assert_eq!(reason(&animated_webp()), RejectReason::Animated);
    assert_eq!(reason(&two_page_tiff(0)), RejectReason::Animated);
    assert!(decode(&two_page_tiff(1), &Limits::default()).is_ok(), "a thumbnail is no page");
}

#[test]
fn metadata_chunks_are_never_decompressed() {
    // A profile that unpacks to 512 MiB would be a chunk of any content here.
    let plain = encoded(quarters(), ImageFormat::Png);
    let profile = chunk(&[b"iCCPx\0\0".as_slice(), &[7; 4096]].concat());
    let text = chunk(b"zTXtComment\0\0 never decompressed");
    let with = [&plain[..33], &profile, &text, &plain[33..]].concat();
    let prepared = super::png::prepare(&with).unwrap();
    assert_eq!(prepared.bytes, plain);
    assert_eq!(decode(&with, &Limits::default()).unwrap(), quarters());

    let still = encoded(quarters(), ImageFormat::WebP);
    let extended = extended_webp(&still, [47, 31], &[(b"ICCP", &[7; 4096]), (b"XMP ", &[7; 99])]);
    let prepared = super::webp::prepare(&extended).unwrap();
    assert!(prepared.bytes.len() <= still.len());
    assert_eq!(decode(&extended, &Limits::default()).unwrap(), quarters());
}

/// A still WebP with a canvas of these sides less one, and chunks before the picture.
fn extended_webp(still: &[u8], canvas: [u8; 2], chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let riff_chunk = |kind: &[u8], content: &[u8]| {
        let length = (content.len() as u32).to_le_bytes();
        [kind, &length, content, &[0][..content.len() % 2]].concat()
    };
    let mut content = b"WEBP".to_vec();
    content.extend(riff_chunk(b"VP8X", &[0x24, 0, 0, 0, canvas[0], 0, 0, canvas[1], 0, 0]));
    for (kind, bytes) in chunks {
        content.extend(riff_chunk(*kind, bytes));
    }
    content.extend(&still[12..]);
    riff_chunk(b"RIFF", &content)
}

#[test]
fn a_second_header_is_rejected() {
    let png = encoded(quarters(), ImageFormat::Png);
    let twice = [&png[..33], &png[8..33], &png[33..]].concat();
    assert_eq!(reason(&twice), RejectReason::Undecodable);

    let still = encoded(quarters(), ImageFormat::WebP);
    assert_eq!(reason(&extended_webp(&still, [99, 31], &[])), RejectReason::Undecodable);
    let other = encoded(RgbImage::new(300, 200), ImageFormat::WebP);
    let picture = (other[12..16].try_into().unwrap(), &other[20..]);
    let two = extended_webp(&still, [47, 31], &[picture]);
    assert_eq!(reason(&two), RejectReason::Undecodable);

    // A frame of 300 x 32 in a screen of 48 x 32.
    let mut gif = encoded(quarters(), ImageFormat::Gif);
    let frame = gif.windows(5).position(|bytes| bytes == [0x2c, 0, 0, 0, 0]).unwrap();
    gif[frame + 5..frame + 7].copy_from_slice(&300_u16.to_le_bytes());
    assert_eq!(reason(&gif), RejectReason::Undecodable);

    let mut tiff = encoded(quarters(), ImageFormat::Tiff);
    let tag = |tag: u16| [tag.to_le_bytes(), 3_u16.to_le_bytes()].concat();
    let compression = tiff.windows(4).position(|bytes| bytes == tag(259)).unwrap();
    tiff[compression + 8] = 7;
    let rejection = decode(&tiff, &Limits::default()).unwrap_err();
    assert!(rejection.detail.contains("JPEG within TIFF"), "{rejection:?}");
}

#[test]
fn webp_data_of_the_wrong_length_are_rejected() {
    // A picture with detail: a flat one has hardly any data.
    let detailed = RgbImage::from_fn(96, 96, |x, y| Rgb([(x * y) as u8, (x ^ y) as u8, y as u8]));
    let whole = encoded(detailed, ImageFormat::WebP);
    assert!(decode(&whole, &Limits::default()).is_ok());
    let mut zeroed = whole.clone();
    let half = zeroed.len() / 2;
    zeroed[half..].fill(0);
    assert!(decode(&zeroed, &Limits::default()).is_err());
    // Cut, with lengths that say so.
    let length = whole.len() - 200;
    let mut cut = whole[..length].to_vec();
    cut[4..8].copy_from_slice(&(length as u32 - 8).to_le_bytes());
    cut[16..20].copy_from_slice(&(length as u32 - 20).to_le_bytes());
    assert!(decode(&cut, &Limits::default()).is_err());
}

/// A TIFF of one strip, packed by zlib, and where the strip ends.
fn deflated_tiff(picture: &RgbImage) -> (Vec<u8>, usize) {
    let mut packed = Vec::new();
    let level = flate2::Compression::fast();
    let mut encoder = flate2::read::ZlibEncoder::new(picture.as_raw().as_slice(), level);
    std::io::Read::read_to_end(&mut encoder, &mut packed).unwrap();
    let directory = 8 + packed.len().next_multiple_of(2);
    let after = (directory + 2 + 9 * 12 + 4) as u32;
    let mut bytes = b"II*\0".to_vec();
    bytes.extend((directory as u32).to_le_bytes());
    bytes.extend(&packed);
    bytes.resize(directory, 0);
    bytes.extend([9, 0]);
    // Width, height, bits of a sample, compression, colours, strip, samples, rows, bytes.
    let (width, height) = picture.dimensions();
    for (tag, kind, count, value) in [
        (256_u16, 4_u16, 1_u32, width),
        (257, 4, 1, height),
        (258, 3, 3, after),
        (259, 3, 1, 8),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 4, 1, packed.len() as u32),
    ] {
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
    }
    bytes.extend([0, 0, 0, 0, 8, 0, 8, 0, 8, 0]);
    (bytes, 8 + packed.len())
}

#[test]
fn deflated_strips_have_checksums() {
    let (whole, end) = deflated_tiff(&quarters());
    assert_eq!(decode(&whole, &Limits::default()).unwrap(), quarters());
    let mut corrupt = whole;
    corrupt[end - 1] ^= 1;
    assert_eq!(reason(&corrupt), RejectReason::Undecodable);
}

#[test]
fn a_wrong_checksum_is_rejected() {
    let png = encoded(quarters(), ImageFormat::Png);
    let palette = chunk(b"PLTE\0\0\0");
    let whole = [&png[..33], &palette, &png[33..]].concat();
    assert!(decode(&whole, &Limits::default()).is_ok());
    // In the header, in the unused palette, and in the palette's checksum.
    for place in [17, 42, 46] {
        let mut corrupt = whole.clone();
        corrupt[place] ^= 0x10;
        assert_eq!(reason(&corrupt), RejectReason::Undecodable, "{place}");
    }
}

fn animated_gif() -> Vec<u8> {
    let mut bytes = Vec::new();
    let frame = || Frame::new(RgbaImage::new(32, 32));
    GifEncoder::new(&mut bytes).encode_frames([frame(), frame()]).unwrap();
    bytes
}

/// A PNG chunk of a type and its content: length before, checksum (CRC-32) after.
fn chunk(content: &[u8]) -> Vec<u8> {
    let crc = content.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    });
    let mut bytes = (content.len() as u32 - 4).to_be_bytes().to_vec();
    bytes.extend(content);
    bytes.extend((!crc).to_be_bytes());
    bytes
}

fn animated_png() -> Vec<u8> {
    let plain = encoded(quarters(), ImageFormat::Png);
    let after_header = 8 + 25;
    let mut bytes = plain[..after_header].to_vec();
    bytes.extend(chunk(b"acTL\0\0\0\x02\0\0\0\0"));
    bytes.extend(&plain[after_header..]);
    bytes
}

fn animated_webp() -> Vec<u8> {
    let still = encoded(quarters(), ImageFormat::WebP);
    let riff_chunk = |kind: &[u8], content: &[u8]| {
        let mut bytes = kind.to_vec();
        bytes.extend((content.len() as u32).to_le_bytes());
        bytes.extend(content);
        bytes.extend(vec![0; content.len() % 2]);
        bytes
    };
    // Position 0,0; size 48x32 less one, in 24 bits; duration 100 ms; no flags; the still's data.
    let mut frame = vec![0, 0, 0, 0, 0, 0, 47, 0, 0, 31, 0, 0, 100, 0, 0, 0];
    frame.extend(&still[12..]);
    let mut content = b"WEBP".to_vec();
    content.extend(riff_chunk(b"VP8X", &[2, 0, 0, 0, 47, 0, 0, 31, 0, 0]));
    content.extend(riff_chunk(b"ANIM", &[0; 6]));
    content.extend(riff_chunk(b"ANMF", &frame));
    content.extend(riff_chunk(b"ANMF", &frame));
    riff_chunk(b"RIFF", &content)
}

/// A TIFF whose only page is listed twice, the second time with this new-subfile-type.
fn two_page_tiff(subfile: u32) -> Vec<u8> {
    let mut bytes = encoded(quarters(), ImageFormat::Tiff);
    let read = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let directory = read(&bytes, 4) as usize;
    let entries = usize::from(bytes[directory]);
    let next = directory + 2 + 12 * entries;
    let second = bytes.len() as u32;
    let mut copy = vec![entries as u8 + 1, 0, 254, 0, 4, 0, 1, 0, 0, 0];
    copy.extend(subfile.to_le_bytes());
    copy.extend(&bytes[directory + 2..next]);
    copy.extend([0; 4]);
    bytes[next..next + 4].copy_from_slice(&second.to_le_bytes());
    bytes.extend(copy);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn corrupt_files_give_a_picture_or_a_rejection(
        kind in 0_usize..10,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
        kept in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = match kind {
            6 => animated_gif(),
            7 => animated_png(),
            8 => animated_webp(),
            9 => two_page_tiff(0),
            format => encoded(quarters(), FORMATS[format]),
        };
        for (place, value) in changes {
            let at = place.index(bytes.len());
            bytes[at] = value;
        }
        if cut {
            bytes.truncate(kept.index(bytes.len()));
        }
        let limits = Limits { pixels: 1 << 20, ..Limits::default() };
        match decode(&bytes, &limits) {
            Ok(picture) => {
                prop_assert!(u64::from(picture.width()) * u64::from(picture.height()) <= 1 << 20);
            }
            Err(rejection) => prop_assert!(!rejection.detail.is_empty()),
        }
    }
}
