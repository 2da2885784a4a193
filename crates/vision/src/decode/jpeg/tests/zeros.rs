//! Zeros in place of the data.

use facefold_core::RejectReason;

use super::super::super::{Limits, decode};
use super::super::zeros::{Repeats, TOO_MANY};
use super::writer::{Scans, jpeg};
use super::{corpus, data};

#[test]
fn zeros_that_make_as_many_blocks_as_the_data_are_rejected() {
    let case = corpus().remove(0);
    assert_eq!(case.name, "1x1 sequential 012 restart 0");
    // With the usual tables zeros are differences of 0 (2 bits), and then 63 coefficients of -1
    // (3 bits each) in the first component and ends of blocks (2 bits) in the others.
    let bits = 7 * 5 * ((2 + 63 * 3) + 2 * (2 + 2));
    let zeros = vec![0; usize::div_ceil(bits, 8)];
    let file = [&case.file[..data(case.file).start], &zeros, &[0xff, 0xd9]].concat();
    let rejection = decode(&file, &Limits::default()).unwrap_err();
    assert_eq!(rejection.reason, RejectReason::Undecodable);
    assert!(rejection.detail.ends_with("as zeros in place of the data do"), "{rejection:?}");
}

#[test]
fn holes_of_zeros_are_rejected() {
    for case in corpus().iter().filter(|case| case.name.contains("sequential")) {
        // Between two restart markers there are fewer bytes.
        if !case.name.ends_with("restart 0") {
            continue;
        }
        let data = data(case.file);
        for start in data.clone().step_by(5).filter(|start| start + 64 <= data.end) {
            let mut holed = case.file.to_vec();
            holed[start..start + 64].fill(0);
            let found = decode(&holed, &Limits::default());
            assert!(found.is_err(), "{}, {start} in {data:?}", case.name);
        }
    }
}

#[test]
fn only_a_value_of_zeros_repeats() {
    let mut repeats = Repeats::default();
    for _ in 1..TOO_MANY {
        repeats.add(0, 2, 0).unwrap();
    }
    assert!(repeats.add(0, 2, 0).is_err());
    // Other values, other sizes, and zeros before it start anew.
    for (before, size, bits) in [(0, 2, 1), (0, 3, 0), (1, 2, 0), (0, 0, 0)] {
        let mut repeats = Repeats::default();
        for _ in 0..2 {
            for _ in 1..TOO_MANY {
                repeats.add(0, 2, 0).unwrap();
            }
            repeats.add(before, size, bits).unwrap();
        }
    }
}

#[test]
fn zeros_that_are_flat_blocks_are_a_picture() {
    for scans in [Scans::Single, Scans::Separate, Scans::Progressive] {
        let file = jpeg([(2, 2), (1, 1), (1, 1)], scans, |_, _, _| 0);
        let picture = decode(&file, &Limits::default()).unwrap();
        assert!(picture.iter().all(|&sample| sample == 128));
        let zeros = file[data(&file)].windows(4).any(|bytes| bytes == [0; 4]);
        assert!(zeros || scans == Scans::Progressive);
    }
}
