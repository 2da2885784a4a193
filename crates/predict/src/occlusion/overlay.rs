//! An occlusion map over the crop that it belongs to, as a picture.

use facefold_vision::align::CROP_SIDE;
use image::{Rgb, RgbImage};

use super::{GRID, OcclusionMap, PATCH, STEP};
use crate::lettering::{Lettering, blend};

/// Pixels of the overlay for one of the crop.
const SCALE: usize = 4;
/// Colours where occlusion decreases and increases the prediction: colour-blind safe
/// (Okabe and Ito, "Color universal design", 2008).
const COLOURS: [[u8; 3]; 2] = [[230, 97, 0], [0, 114, 220]];
/// At most this share of a colour lies over the crop.
const DENSEST: f32 = 0.8;
/// Height of a line of words below the overlay.
const LINE: f32 = 18.0;
/// Around words.
const MARGIN: f32 = 8.0;

/// The crop in grey, four times its size, under the map: orange where covering takes away from the
/// prediction (or the age), blue where it increases it. The strongest colour is the value that
/// is furthest from 0.
#[must_use]
pub fn overlay(map: &OcclusionMap) -> RgbImage {
    let [most, least] = map.extremes();
    let furthest = most.abs().max(least.abs()).max(f32::MIN_POSITIVE);
    let side = (CROP_SIDE * SCALE) as u32;
    RgbImage::from_fn(side, side, |x, y| {
        // Centres of the overlay's pixels, in pixels of the crop.
        let [x, y] = [x, y].map(|at| (at as f32 + 0.5) / SCALE as f32 - 0.5);
        let ground = grey(map, [x, y]);
        let value = value(map, [x, y]) / furthest;
        let over = COLOURS[usize::from(value < 0.0)].map(f32::from);
        let share = DENSEST * value.abs().min(1.0);
        Rgb(over.map(|over| (ground * (1.0 - share) + over * share).round() as u8))
    })
}

/// [`overlay`] with a headline and the meaning of both colours below it.
#[must_use]
pub fn overlay_with_text(map: &OcclusionMap, headline: &str, legend: &[String; 2]) -> RgbImage {
    let above = overlay(map);
    let letters = Lettering::new(LINE);
    let height = above.height() + (3.0 * LINE + 2.0 * MARGIN) as u32;
    let mut picture = RgbImage::from_pixel(above.width(), height, Rgb([255; 3]));
    image::imageops::replace(&mut picture, &above, 0, 0);
    let ink = [29, 31, 35];
    let mut top = above.height() as f32 + MARGIN;
    letters.write(&mut picture, headline, [MARGIN, top], ink);
    for (words, colour) in legend.iter().zip(COLOURS) {
        top += LINE;
        let swatch = LINE * 0.7;
        for y in 0..swatch as i64 {
            for x in 0..swatch as i64 {
                let [left, up] = [MARGIN as i64, (top + 0.15 * LINE) as i64];
                blend(&mut picture, [left + x, up + y], colour, 1.0);
            }
        }
        letters.write(&mut picture, words, [MARGIN + LINE, top], ink);
    }
    picture
}

/// Luma of the crop between its pixels (Rec. 601 weights), bilinear.
fn grey(map: &OcclusionMap, at: [f32; 2]) -> f32 {
    let luma = |x: usize, y: usize| {
        let start = (y * CROP_SIDE + x) * 3;
        let pixel = &map.pixels[start..start + 3];
        0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]
    };
    between(CROP_SIDE, at, luma)
}

/// The map between the centres of its patches, bilinear; beyond the outermost it stays the same.
fn value(map: &OcclusionMap, at: [f32; 2]) -> f32 {
    let first = (PATCH as f32 - 1.0) / 2.0;
    let at = at.map(|at| (at - first) / STEP as f32);
    between(GRID, at, |x, y| map.grid[y * GRID + x])
}

/// A value between those at whole coordinates of a square, bilinear.
fn between(side: usize, at: [f32; 2], value: impl Fn(usize, usize) -> f32) -> f32 {
    let [x, y] = at.map(|at| at.clamp(0.0, (side - 1) as f32));
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(side - 1), (top + 1).min(side - 1));
    let (across, down) = (x - left as f32, y - top as f32);
    let row = |y: usize| value(left, y) * (1.0 - across) + value(right, y) * across;
    row(top) * (1.0 - down) + row(bottom) * down
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::{COLOURS, GRID, OcclusionMap, PATCH, SCALE, STEP, overlay, overlay_with_text};

    /// A grey crop on which one patch mattered, and another mattered half as much the other way.
    fn map() -> OcclusionMap {
        let mut grid = vec![0.0; GRID * GRID];
        grid[2 * GRID + 3] = 0.4;
        grid[9 * GRID + 8] = -0.2;
        OcclusionMap { grid, pixels: vec![100.0; 112 * 112 * 3], pictures: 1 }
    }

    /// The middle of a patch, in pixels of the overlay.
    fn middle([column, row]: [usize; 2]) -> [u32; 2] {
        [column, row].map(|at| ((at * STEP + PATCH / 2) * SCALE) as u32)
    }

    #[test]
    fn colour_is_only_where_occlusion_has_an_effect() {
        let picture = overlay(&map());
        assert_eq!(picture.dimensions(), (448, 448));
        let pixel = |at: [usize; 2]| {
            let [x, y] = middle(at);
            picture.get_pixel(x, y).0.map(i32::from)
        };
        let [red, _, blue] = pixel([3, 2]);
        assert!(red > 180 && blue < 40, "orange at the patch that mattered: {:?}", pixel([3, 2]));
        let [red, _, blue] = pixel([8, 9]);
        assert!(blue > red + 40, "blue at the other: {:?}", pixel([8, 9]));
        assert_eq!(pixel([11, 0]), [100; 3], "the crop where nothing mattered");
        let strong =
            pixel([3, 2]).into_iter().zip(COLOURS[0]).map(|(a, b)| (a - i32::from(b)).abs());
        let weak = pixel([8, 9]).into_iter().zip(COLOURS[1]).map(|(a, b)| (a - i32::from(b)).abs());
        assert!(strong.sum::<i32>() < weak.sum::<i32>(), "half the value is half the colour");
    }

    #[test]
    fn an_empty_map_is_the_crop() {
        let nothing = OcclusionMap { grid: vec![0.0; GRID * GRID], ..map() };
        assert!(overlay(&nothing).pixels().all(|pixel| pixel == &Rgb([100; 3])));
    }

    #[test]
    fn text_is_below_the_map() {
        let legend = ["up to 40 points".to_owned(), "up to 20 points".to_owned()];
        let picture = overlay_with_text(&map(), "gender: female 97 %", &legend);
        assert_eq!(picture.width(), 448);
        let below = picture.enumerate_pixels().filter(|(_, y, _)| *y >= 448);
        let dark = below.filter(|(_, _, pixel)| pixel.0[0] < 60 && pixel.0[2] < 60).count();
        assert!(dark > 200, "{dark} pixels of words");
    }
}
