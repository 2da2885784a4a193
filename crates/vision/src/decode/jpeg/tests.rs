//! Every scan script, sampling and restart interval, against libjpeg.

use facefold_core::RejectReason;

use super::super::{Limits, decode};

mod sampling;
mod writer;
mod zeros;

/// Made by `tests/fixtures/make_jpegs.py`, which says how it is laid out.
const CORPUS: &[u8] = include_bytes!("../../../tests/fixtures/jpegs.bin");
const PIXELS: usize = 53 * 37 * 3;

struct Case {
    name: &'static str,
    file: &'static [u8],
    /// What Pillow's libjpeg-turbo makes of it.
    pixels: &'static [u8],
}

fn corpus() -> Vec<Case> {
    let mut rest = CORPUS;
    let mut take = |length: usize| {
        let (taken, left) = rest.split_at(length);
        rest = left;
        taken
    };
    let mut cases: Vec<Case> = Vec::new();
    let mut taken = 0;
    while taken < CORPUS.len() {
        let length = usize::from(take(1)[0]);
        let name = std::str::from_utf8(take(length)).unwrap();
        let size = u32::from_le_bytes(take(4).try_into().unwrap()) as usize;
        let file = take(size);
        let anew = take(1)[0] == 1;
        let pixels = if anew { take(PIXELS) } else { cases.last().unwrap().pixels };
        taken += 6 + length + size + if anew { PIXELS } else { 0 };
        cases.push(Case { name, file, pixels });
    }
    cases
}

#[test]
fn every_script_sampling_and_restart_interval_decodes_as_libjpeg_does() {
    let cases = corpus();
    assert_eq!(cases.len(), 287);
    for Case { name, file, pixels } in cases {
        let picture = decode(file, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(picture.dimensions(), (53, 37), "{name}");
        let apart = picture.as_raw().iter().zip(pixels).map(|(a, b)| a.abs_diff(*b)).max();
        // zune-jpeg rounds otherwise than libjpeg; what is decoded here is the same to the bit.
        let several = name.contains("sequential") && name.contains('+');
        assert!(apart <= Some(if several { 0 } else { 6 }), "{name}: {apart:?}");
    }
}

/// Where the entropy-coded data of the last scan lie.
fn data(file: &[u8]) -> std::ops::Range<usize> {
    let scan = file.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
    let length = u16::from_be_bytes([file[scan + 2], file[scan + 3]]);
    scan + 2 + usize::from(length)..file.len() - 2
}

fn outcome(file: &[u8]) -> Result<(), RejectReason> {
    decode(file, &Limits::default()).map(|_| ()).map_err(|rejection| rejection.reason)
}

#[test]
fn data_that_end_before_the_last_block_are_truncated() {
    for Case { name, file, .. } in corpus() {
        let data = data(file);
        for eighths in 1..8 {
            let end = data.start + data.len() * eighths / 8;
            // A cut within a marker leaves another one.
            if file[end - 1] == 0xff {
                continue;
            }
            let cut = [&file[..end], &[0xff, 0xd9]].concat();
            let found = outcome(&cut).expect_err(&format!("{name}, {eighths} eighths"));
            let expected = [RejectReason::Truncated, RejectReason::Undecodable];
            assert!(expected.contains(&found), "{name}: {found}");
        }
    }
}

#[test]
fn data_that_go_wrong_are_rejected() {
    let (mut tried, mut rejected) = (0, 0);
    for Case { file, .. } in corpus() {
        let data = data(file);
        let length = data.len() / 8;
        for eighths in 1..7 {
            let at = data.start + data.len() * eighths / 8;
            for fill in [0x00, 0x55, 0xff] {
                let mut holed = file.to_vec();
                holed[at..at + length].fill(fill);
                tried += 1;
                rejected += usize::from(outcome(&holed).is_err());
            }
            let mut marked = file.to_vec();
            marked[at..at + 2].copy_from_slice(&[0xff, 0xe5]);
            assert!(outcome(&marked).is_err());
        }
    }
    // There is no checksum: data of another kind may by chance make as many blocks.
    assert!(rejected * 100 >= tried * 97, "{rejected} of {tried}");
}

#[test]
fn a_few_zeros_behind_the_data_change_nothing() {
    for Case { name, file, .. } in corpus() {
        let (data, end) = file.split_at(file.len() - 2);
        let with = |extra: &[u8]| decode(&[data, extra, end].concat(), &Limits::default());
        let plain = with(&[]).unwrap();
        assert_eq!(with(&[0]).as_ref(), Ok(&plain), "{name}");
        assert_eq!(with(&[0; 4]).as_ref(), Ok(&plain), "{name}");
        assert!(with(&[0; 5]).is_err() && with(&[0, 1]).is_err(), "{name}");
    }
}

#[test]
fn a_progressive_picture_without_its_last_scans_is_truncated() {
    for Case { name, file, .. } in corpus().iter().filter(|case| case.name.contains("progressive"))
    {
        let scan = file.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
        let cut = [&file[..scan], &[0xff, 0xd9]].concat();
        assert_eq!(outcome(&cut), Err(RejectReason::Truncated), "{name}");
    }
}

#[test]
fn the_size_that_is_checked_is_the_size_that_is_decoded() {
    let large = |file: &[u8]| {
        let mut file = file.to_vec();
        let frame = file.windows(2).position(|pair| pair[0] == 0xff && pair[1] == 0xc0).unwrap();
        file[frame + 5..frame + 9].copy_from_slice(&[0x75, 0x30, 0x75, 0x30]);
        file
    };
    let Case { file, .. } = corpus().remove(0);
    assert_eq!(outcome(&large(file)), Err(RejectReason::TooLarge));
    // A frame header of 200 x 200 in bytes that readers skip differently.
    let small = b"\xff\xc0\x00\x11\x08\x00\xc8\x00\xc8\x03\x01\x11\x00\x02\x11\x01\x03\x11\x01";
    for hide in [
        b"\xff\xd0\x00\x15".as_slice(),
        b"\xff\x01\x00\x15",
        b"\xff\xfe\x00\x02\x00\x00",
        b"\xff\x00\x00\x15",
    ] {
        let decoy = [&file[..2], hide, small, &large(file)[2..]].concat();
        assert_eq!(outcome(&decoy), Err(RejectReason::Undecodable), "{}", hide.escape_ascii());
        let decoy = [&file[..2], hide, &large(small), &file[2..]].concat();
        assert!(outcome(&decoy).is_err(), "{}", hide.escape_ascii());
    }
    // Behind the frame, in a comment, and behind the end it is nothing.
    let comment = [b"\xff\xfe\x00\x15".as_slice(), small].concat();
    let with_comment = [&file[..2], &comment, &file[2..]].concat();
    assert_eq!(outcome(&with_comment), Ok(()));
    assert_eq!(outcome(&[file, &large(small)].concat()), Ok(()));
}

#[test]
fn a_quantization_step_of_zero_is_rejected() {
    let mut file = corpus()[0].file.to_vec();
    let table = file.windows(2).position(|marker| marker == [0xff, 0xdb]).unwrap();
    assert_eq!(outcome(&file), Ok(()));
    file[table + 5 + 63] = 0;
    assert_eq!(outcome(&file), Err(RejectReason::Undecodable));
}

#[test]
fn more_scans_than_any_picture_has_are_refused() {
    let Case { file, .. } =
        corpus().into_iter().find(|case| case.name.contains("successive")).unwrap();
    let scan = file.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
    let last = &file[scan..file.len() - 2];
    let many = [&file[..scan], &last.repeat(200), &[0xff, 0xd9]].concat();
    assert_eq!(outcome(&many), Err(RejectReason::Undecodable));
}

#[test]
fn colours_are_those_that_libjpeg_sees() {
    let Case { file, .. } = corpus().remove(0);
    let plain = decode(file, &Limits::default()).unwrap();
    // Without JFIF's segment and with names R, G and B the components are colours as they are.
    let jfif = 2 + 2 + 16;
    let mut named = [&file[..2], &file[jfif..]].concat();
    let rename = |file: &mut Vec<u8>, marker: u8, first: usize, step: usize| {
        let at = file.windows(2).position(|pair| pair == [0xff, marker]).unwrap();
        for (index, name) in b"RGB".iter().enumerate() {
            file[at + first + step * index] = *name;
        }
    };
    rename(&mut named, 0xc0, 10, 3);
    rename(&mut named, 0xda, 5, 2);
    let adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00";
    let marked = [&file[..2], adobe, &file[jfif..]].concat();
    let [named, marked] = [named, marked].map(|file| decode(&file, &Limits::default()).unwrap());
    assert_eq!(named, marked);
    assert_ne!(named, plain);
    // JFIF says YCbCr, whatever else is said.
    let both = [&file[..jfif], adobe, &file[jfif..]].concat();
    assert_eq!(decode(&both, &Limits::default()).unwrap(), plain);
}

#[test]
fn memory_of_a_parsed_file_is_bounded() {
    let Case { file, .. } = corpus().remove(0);
    let data = data(file);
    let restarts = [&file[..data.start], &b"\xff\xd0".repeat(1 << 22), b"\xff\xd9"].concat();
    assert_eq!(outcome(&restarts), Err(RejectReason::Undecodable));
    let tables = [&file[..2], &b"\xff\xdb\x00\x02".repeat(1 << 13), &file[2..]].concat();
    assert_eq!(outcome(&tables), Err(RejectReason::Undecodable));
}
