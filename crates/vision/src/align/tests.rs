//! Alignment against OpenCV and against what must hold by geometry.

use facefold_core::RejectReason;
use image::RgbImage;

use super::{CROP_SIDE, Crop, Similarity, TEMPLATE, align, warp};
use crate::testing::formula_picture;

const LANDMARKS: [[f32; 2]; 5] =
    [[20.5, 15.25], [38.0, 17.5], [30.25, 24.0], [22.0, 31.5], [36.5, 33.0]];

// Golden values in this file, with p the formula picture of 61 x 47, l the landmarks, t the
// template (all float64):
//   def umeyama(src, dst):
//       ms, md = src.mean(0), dst.mean(0); s, d = src - ms, dst - md
//       A = d.T @ s / 5; U, S, V = np.linalg.svd(A); D = np.ones(2)
//       if np.linalg.det(A) < 0: D[1] = -1
//       R = U @ np.diag(D) @ V; scale = (S @ D) / s.var(0).sum()
//       return np.column_stack([scale * R, md - scale * R @ ms])
//   crop = cv2.warpAffine(p, umeyama(l, t), (112, 112))              # OpenCV 5.0.0

#[test]
fn the_similarity_is_umeyamas_estimate() {
    // umeyama(l, t)[:, 2], [0, 0], [1, 0]; then the same for l * [-1, 1] + [61, 0], where Umeyama
    // must turn a reflection down.
    let mirrored = LANDMARKS.map(|[x, y]| [61.0 - x, y]);
    for (landmarks, expected) in [
        (LANDMARKS, [2.263_955_594_4, -0.132_403_661_6, -13.858_121_049_4, 20.899_144_670_3]),
        (mirrored, [0.244_204_662_0, -0.120_594_395_9, 45.397_088_813_6, 69.783_570_136_5]),
    ] {
        let Similarity { a, b, c, d } = Similarity::fit(&landmarks, &TEMPLATE).unwrap();
        for (found, expected) in [a, b, c, d].into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
        }
    }
}

#[test]
fn the_inverse_undoes_the_similarity() {
    let similarity = Similarity { a: 1.5, b: -0.5, c: 3.0, d: -7.0 };
    let [x, y] = similarity.inverse().apply(similarity.apply([4.0, 9.0]));
    assert!((x - 4.0).abs() < 1e-12 && (y - 9.0).abs() < 1e-12);
}

#[test]
fn the_crop_is_that_of_opencv() {
    let crop = align(&formula_picture(61, 47), &LANDMARKS).unwrap();
    // [(x, y, crop[y, x].tolist()) for x, y in ...]; crop.astype(np.int64).sum()
    let golden = [
        (0, 0, [0, 0, 0]),
        (10, 3, [0, 0, 0]),
        (56, 56, [34, 209, 156]),
        (38, 51, [198, 47, 157]),
        (70, 92, [90, 118, 65]),
        (100, 40, [125, 161, 36]),
        (5, 90, [138, 197, 190]),
        (111, 111, [241, 170, 160]),
        (90, 20, [71, 122, 50]),
    ];
    for (x, y, expected) in golden {
        let at = (y * CROP_SIDE + x) * 3;
        let found = &crop.pixels()[at..at + 3];
        let near = found.iter().zip(expected).all(|(&a, b): (&u8, u8)| a.abs_diff(b) <= 1);
        assert!(near, "({x}, {y}): {found:?} for {expected:?}");
    }
    let sum: i64 = crop.pixels().iter().map(|&value| i64::from(value)).sum();
    assert!((sum - 4_157_970).abs() < 400, "{sum}");
    // g = crop.astype(np.float32) @ np.float32([.299, .587, .114])
    // g.mean(), cv2.Laplacian(g, cv2.CV_32F).var()
    assert!((crop.luminance() - 110.853_294).abs() < 0.01, "{}", crop.luminance());
    assert!((crop.sharpness() - 658.4379).abs() < 0.5, "{}", crop.sharpness());
}

#[test]
fn landmarks_at_the_template_give_the_corner_unchanged() {
    let picture = formula_picture(150, 130);
    let crop = warp(&picture, &Similarity::fit(&TEMPLATE, &TEMPLATE).unwrap());
    for (x, y) in [(0, 0), (111, 0), (50, 70), (111, 111)] {
        let at = (y * CROP_SIDE + x) * 3;
        assert_eq!(&crop.pixels()[at..at + 3], picture.get_pixel(x as u32, y as u32).0);
    }
}

#[test]
fn mirroring_exchanges_left_and_right() {
    let crop = align(&formula_picture(61, 47), &LANDMARKS).unwrap();
    let mirrored = crop.mirrored();
    assert_eq!(mirrored.pixels()[..3], crop.pixels()[111 * 3..112 * 3]);
    assert_eq!(mirrored.mirrored(), crop);
    assert_eq!(mirrored.luminance(), crop.luminance());
    assert!(Crop::from_pixels(vec![0; 7]).is_none());
}

#[test]
fn degenerate_landmarks_are_rejected() {
    let picture = RgbImage::new(100, 100);
    let far = LANDMARKS.map(|[x, y]| [x + 500.0, y]);
    let mut infinite = LANDMARKS;
    infinite[2][0] = f32::INFINITY;
    let mut missing = LANDMARKS;
    missing[4][1] = f32::NAN;
    for landmarks in [[[50.0, 50.0]; 5], far, infinite, missing] {
        let rejection = align(&picture, &landmarks).unwrap_err();
        assert_eq!(rejection.reason, RejectReason::BadLandmarks, "{landmarks:?}");
    }
}
