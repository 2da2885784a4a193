//! A directory of files that are not what they say: each is named and counted, nothing is lost.

use std::collections::BTreeMap;
use std::path::Path;

use image::{ExtendedColorType, ImageEncoder, ImageFormat, RgbImage};

use crate::support::{Dir, drawn, fail, json, line, succeed};

fn picture(side: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| image::Rgb([(x * 3) as u8, (y * 5) as u8, (x + y) as u8]))
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture(96).write_to(&mut bytes, format).expect("an encoder");
    bytes.into_inner()
}

fn sixteen_bit_png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let samples: Vec<u8> =
        (0..96 * 96 * 3u32).flat_map(|i| ((i * 37) as u16).to_ne_bytes()).collect();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(&samples, 96, 96, ExtendedColorType::Rgb16)
        .expect("an encoder");
    bytes
}

fn animated_gif() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    let frame = || image::Frame::new(image::DynamicImage::from(picture(64)).to_rgba8());
    encoder.encode_frames([frame(), frame()]).expect("an encoder");
    drop(encoder);
    bytes
}

/// A PNG header that promises 60,000 x 60,000 pixels.
fn huge_png() -> Vec<u8> {
    let mut bytes = encoded(ImageFormat::Png);
    bytes[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let mut crc = 0xffff_ffffu32;
    for &byte in &bytes[12..29] {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
    bytes
}

/// A JPEG whose frame header says four components.
fn four_channel_jpeg() -> Vec<u8> {
    let bytes = encoded(ImageFormat::Jpeg);
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a baseline frame");
    let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).expect("a scan");
    let mut changed = bytes[..frame].to_vec();
    // Length 20, 8 bits, 96 x 96, four components that all use table 0.
    changed.extend([0xff, 0xc0, 0, 20, 8, 0, 96, 0, 96, 4]);
    for component in 1..=4u8 {
        changed.extend([component, 0x11, 0]);
    }
    changed.extend(&bytes[frame + 19..scan]);
    changed.extend([0xff, 0xda, 0, 14, 4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]);
    changed.extend([0u8; 400]);
    changed.extend([0xff, 0xd9]);
    changed
}

fn write(root: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(root.join(name), bytes).expect("a file");
}

#[test]
fn each_bad_file_is_named_and_the_good_ones_are_embedded() {
    let dir = Dir::new();
    let root = dir.path("set/class");
    std::fs::create_dir_all(&root).expect("a directory");

    let jpeg = encoded(ImageFormat::Jpeg);
    let good: Vec<(&str, Vec<u8>)> = vec![
        ("plain.jpg", jpeg.clone()),
        ("plain.png", encoded(ImageFormat::Png)),
        ("plain.webp", encoded(ImageFormat::WebP)),
        ("plain.bmp", encoded(ImageFormat::Bmp)),
        ("plain.tiff", encoded(ImageFormat::Tiff)),
        ("sixteen-bit.png", sixteen_bit_png()),
        ("a name with spaces, a comma and a \"quote\".png", encoded(ImageFormat::Png)),
        ("ünïcödé-名前.bmp", encoded(ImageFormat::Bmp)),
        ("wrong-extension.png", jpeg.clone()),
    ];
    let bad: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty.jpg", vec![], "empty"),
        ("text.jpg", b"this is no picture".to_vec(), "not-a-picture"),
        ("truncated.jpg", jpeg[..jpeg.len() / 2].to_vec(), "truncated"),
        ("truncated.png", encoded(ImageFormat::Png)[..800].to_vec(), "truncated"),
        ("huge.png", huge_png(), "too-large"),
        ("animated.gif", animated_gif(), "animated"),
        ("cmyk.jpg", four_channel_jpeg(), "wrong-channels"),
    ];
    for (name, bytes) in &good {
        write(&root, name, bytes);
    }
    for (name, bytes, _) in &bad {
        write(&root, name, bytes);
    }
    let mut unreadable = 0;
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere.jpg", root.join("dangling.jpg")).expect("a link");
        unreadable += 1;
    }

    let store = dir.path("store");
    let extract = || {
        line(
            "extract folder {} --store {} --model untrained --aligned",
            &[&dir.path("set"), &store],
        )
    };
    let summary = json(extract());
    let rejected: BTreeMap<String, u64> =
        serde_json::from_value(summary["rejected"].clone()).expect("counts by reason");
    for (name, _, reason) in &bad {
        assert!(rejected.contains_key(*reason), "{name} should be {reason}: {rejected:?}");
    }
    assert_eq!(rejected.values().sum::<u64>(), bad.len() as u64 + unreadable, "{rejected:?}");
    // Pictures with the same bytes share an embedding: three of the good ones are copies.
    assert_eq!(summary["embedded"].as_u64(), Some(good.len() as u64 - 3));
    assert_eq!(summary["rows"].as_u64(), Some((good.len() + bad.len()) as u64 + unreadable));

    let info = json(line("store info {} --rejections", &[&store]));
    let listed = info["rejections"].as_array().expect("a list");
    for (name, _, reason) in &bad {
        let found =
            listed.iter().find(|row| row["path"].as_str().is_some_and(|p| p.ends_with(name)));
        assert_eq!(found.and_then(|row| row["reason"].as_str()), Some(*reason), "{name}");
    }

    let mut strict = extract();
    strict.arg("--strict");
    fail(strict, 3);
    // A second run retries nothing but what has no bytes to be known by.
    assert_eq!(json(extract())["embedded"], 0);
}

#[test]
fn predict_names_what_it_cannot_read_and_answers_the_rest() {
    let dir = Dir::new();
    let bundle = dir.path("b.facefold");
    succeed(line(
        "train --store {} --task gender --head linear --out {}",
        &[crate::support::drawn_store(), &bundle],
    ));
    let good = std::fs::read_dir(drawn().join("aligned"))
        .and_then(|mut users| users.next().expect("a user").map(|user| user.path()))
        .and_then(std::fs::read_dir)
        .and_then(|mut files| files.next().expect("a picture").map(|file| file.path()))
        .expect("a drawn picture");
    write(&dir.path(""), "broken.jpg", b"no picture");
    let csv = succeed(line(
        "predict --bundle {} --format csv {} {}",
        &[&bundle, &dir.path("broken.jpg"), &good],
    ));
    let rows: Vec<&str> = csv.lines().skip(1).collect();
    assert_eq!(rows.len(), 2);
    assert!(rows[0].ends_with("broken.jpg,not-a-picture,,,,,,,,,"), "{}", rows[0]);
    assert!(rows[1].contains(",ok,"), "{}", rows[1]);
}
