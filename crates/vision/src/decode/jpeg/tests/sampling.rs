//! Every combination of sampling factors.

use facefold_core::RejectReason;

use super::super::super::{Limits, decode};
use super::writer::{HEIGHT, Sampling, Scans, WIDTH, jpeg};

/// A mean that changes from block to block.
fn mean(component: usize, x: usize, y: usize) -> i32 {
    ((37 * component + 11 * x + 23 * y) % 64) as i32 - 32
}

/// All combinations with at most 10 blocks in an MCU, as the standard has it.
fn samplings() -> Vec<Sampling> {
    let factors: Vec<_> = (1..=4).flat_map(|h| (1..=4).map(move |v| (h, v))).collect();
    let mut all = Vec::new();
    for &a in &factors {
        for &b in &factors {
            all.extend(factors.iter().map(|&c| [a, b, c]));
        }
    }
    all.retain(|sampling: &Sampling| sampling.iter().map(|(h, v)| h * v).sum::<usize>() <= 10);
    all
}

/// Whether all components have whole numbers of samples for one of the finest component.
fn divides(sampling: Sampling) -> bool {
    let most = |factor: fn(&(usize, usize)) -> usize| sampling.iter().map(factor).max().unwrap();
    let (most_h, most_v) = (most(|s| s.0), most(|s| s.1));
    sampling.iter().all(|(h, v)| most_h % h == 0 && most_v % v == 0)
}

#[test]
fn one_scan_of_any_sampling_is_decoded_as_separate_scans_are() {
    let mut decoded = 0;
    for sampling in samplings() {
        let [single, separate] = [Scans::Single, Scans::Separate]
            .map(|scans| decode(&jpeg(sampling, scans, mean), &Limits::default()));
        if !divides(sampling) {
            assert!(single.is_err() && separate.is_err(), "{sampling:?}");
            continue;
        }
        let (single, separate) = (single.unwrap(), separate.unwrap());
        assert_eq!(single.dimensions(), (WIDTH as u32, HEIGHT as u32));
        let apart = single.iter().zip(separate.iter()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(apart <= Some(6), "{sampling:?}: {apart:?}");
        decoded += 1;
    }
    assert_eq!(decoded, 311);
}

#[test]
fn a_progressive_picture_is_decoded_or_rejected_for_its_sampling() {
    let mut decoded = 0;
    for sampling in samplings() {
        match decode(&jpeg(sampling, Scans::Progressive, mean), &Limits::default()) {
            Ok(picture) => {
                let same =
                    decode(&jpeg(sampling, Scans::Separate, mean), &Limits::default()).unwrap();
                let apart = picture.iter().zip(same.iter()).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(apart <= Some(6), "{sampling:?}: {apart:?}");
                decoded += 1;
            }
            Err(rejection) => {
                assert_eq!(rejection.reason, RejectReason::Undecodable);
                let factors = sampling.map(|(h, v)| format!("{h}x{v}")).join(", ");
                let words =
                    format!("a progressive JPEG whose components are sampled {factors} is not");
                assert!(rejection.detail.starts_with(&words), "{}", rejection.detail);
            }
        }
    }
    assert_eq!(decoded, 32);
}
