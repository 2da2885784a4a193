//! The canvas that a picture is sent on, so that a server's detector sees the picture at the size at
//! which the local extractor's detector sees it.
//!
//! InsightFace-REST (`resize_image` in `if_rest/core/utils/image_provider.py`) scales every picture,
//! up too, to the width and height of its detector's input (`MAX_SIZE`), and where that is more than
//! twofold to 0.7 of it. The local extractor scales to an input that follows the picture's size. On
//! a picture of 200 pixels the two differ: 448 pixels there at 640, 256 here. A black margin to the
//! right or below, which moves no coordinate, makes the server scale by as much as is done here.

use crate::pictures::Attempt;

/// Above this the server scales by 0.7 of it: numerator and denominator of the ratio, and of 0.7.
const MOST_RATIO: u64 = 2;
const REDUCED: [u64; 2] = [7, 10];

/// The server's networks take sides of this many pixels; it rounds down.
const SIDE_STEP: u32 = 32;

/// Canvases with more pixels are not sent: the margin would cost more than it is worth.
const MOST_PIXELS: u64 = 40_000_000;

/// A black canvas with a picture on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canvas {
    /// Pixels from the left and from the top to the picture.
    pub offset: u32,
    /// Width and height.
    pub size: [u32; 2],
}

impl Canvas {
    /// The picture with this margin on every side.
    #[must_use]
    pub fn padded(size: [u32; 2], padding: u32) -> Self {
        Self { offset: padding, size: size.map(|side| side + 2 * padding) }
    }

    /// Whether it is nothing but the picture.
    pub(crate) fn is_bare(self, size: [u32; 2]) -> bool {
        self.size == size
    }
}

/// The canvas on which a server with this input scales a picture as the attempt does; `None` where
/// there is none, since the input is too small, or the canvas would be too large.
pub(crate) fn canvas(size: [u32; 2], attempt: Attempt, input: [u32; 2]) -> Option<Canvas> {
    let padded = Canvas::padded(size, attempt.padding);
    let longer = u64::from(padded.size[0].max(padded.size[1]));
    let side = u64::from(attempt.side);
    let is_reduced = side > MOST_RATIO * longer;
    let [numerator, denominator] = if is_reduced { REDUCED } else { [1, 1] };
    // A canvas with this width, or this height, and not more of the other has the wanted ratio.
    let wanted = input.map(|input| {
        let pixels = u64::from(input / SIDE_STEP * SIDE_STEP) * longer * numerator;
        pixels.div_ceil(side.max(1) * denominator)
    });
    let [width, height] = padded.size.map(u64::from);
    if width > wanted[0] || height > wanted[1] {
        return None;
    }
    let choices = [[wanted[0], height], [width, wanted[1]]];
    let [width, height] = choices.into_iter().min_by_key(|size| size[0] * size[1])?;
    if width * height > MOST_PIXELS {
        return None;
    }
    Some(Canvas { size: [u32::try_from(width).ok()?, u32::try_from(height).ok()?], ..padded })
}

#[cfg(test)]
mod tests {
    use super::{Canvas, canvas};
    use crate::pictures::Attempt;

    /// `resize_image` of InsightFace-REST: by how much it scales.
    fn server_scale(size: [u32; 2], input: [u32; 2]) -> f64 {
        let [width, height] = size.map(f64::from);
        let scale = (f64::from(input[0]) / width).min(f64::from(input[1]) / height);
        if scale > 2.0 { scale * 0.7 } else { scale }
    }

    #[test]
    fn the_server_scales_as_the_local_extractor() {
        for size in
            [[16, 16], [100, 80], [128, 128], [200, 200], [201, 133], [300, 500], [816, 816]]
        {
            let longer: u32 = size.iter().copied().max().unwrap();
            for (padding, side) in [(0, 256.max(longer.min(640).next_multiple_of(32))), (7, 320)] {
                let attempt = Attempt { padding, side };
                let wanted = f64::from(side) / f64::from(longer + 2 * padding);
                for input in [[640, 640], [655, 640], [1280, 1280]] {
                    let canvas = canvas(size, attempt, input).unwrap();
                    assert_eq!(canvas.offset, padding);
                    let padded = Canvas::padded(size, padding);
                    assert!(canvas.size[0] >= padded.size[0] && canvas.size[1] >= padded.size[1]);
                    let found = server_scale(canvas.size, input.map(|side| side / 32 * 32));
                    assert!(
                        (found / wanted - 1.0).abs() < 0.02,
                        "{size:?} {input:?}: {found} {wanted}"
                    );
                }
            }
        }
        // What is scaled alike already has no margin.
        let bare = canvas([816, 600], Attempt { padding: 0, side: 640 }, [640, 640]).unwrap();
        assert!(bare.is_bare([816, 600]));
    }

    #[test]
    fn an_input_that_is_too_small_has_no_canvas() {
        let attempt = Attempt { padding: 0, side: 640 };
        assert_eq!(canvas([816, 816], attempt, [320, 320]), None);
        assert_eq!(canvas([816, 816], attempt, [640, 480]), None);
        assert!(canvas([800, 600], attempt, [640, 480]).is_some());
        assert_eq!(canvas([9000, 9000], attempt, [1280, 1280]), None);
    }
}
