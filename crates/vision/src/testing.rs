//! Pictures that tests here and the python lines beside their golden values both draw.

use image::{Rgb, RgbImage};

/// A picture by formula, smooth in parts and harsh in others.
///
/// ```python
/// y, x = np.mgrid[0:h, 0:w]
/// p = np.stack([(x*7 + y*3) % 256, (x*x + y*5) % 256, (x*11 + y*y*2) % 256], -1).astype(np.uint8)
/// ```
pub(crate) fn formula_picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let wrap = |value: u32| (value % 256) as u8;
        Rgb([wrap(x * 7 + y * 3), wrap(x * x + y * 5), wrap(x * 11 + y * y * 2)])
    })
}
