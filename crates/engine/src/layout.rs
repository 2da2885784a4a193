//! Memory layout of a value's pixels, and the tiling loop that a convolution visits them in.

use std::ops::Range;

use crate::network::Shape;
use crate::pack::TILE_DEPTH;

/// Channels of a pixel are padded with zeros to a multiple of this: a cache line of f32.
pub(crate) const CHANNEL_BLOCK: usize = facefold_kernels::lanes::MOST_LANES;

/// A value of several pictures in memory: NHWC with `pad` columns of zeros before each row and
/// `pad` rows of zeros before each picture and after the last. The zeros after a row are those
/// before the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Layout {
    pub height: usize,
    pub width: usize,
    /// Elements from one pixel to the next.
    pub pitch: usize,
    pub pad: usize,
    /// Pictures that fit.
    pub capacity: usize,
    /// Rows in memory, with those of zeros, where not all are kept at a time: then a row takes the
    /// place of the one that lies this many rows above it.
    pub ring: Option<usize>,
}

impl Layout {
    pub fn new(shape: Shape, pitch: usize, pad: usize, capacity: usize) -> Self {
        Self { height: shape.height, width: shape.width, pitch, pad, capacity, ring: None }
    }

    /// Pixels from one row to the next.
    pub fn row(&self) -> usize {
        self.width + self.pad
    }

    /// Pixels from one picture to the next.
    pub fn image(&self) -> usize {
        (self.height + self.pad) * self.row()
    }

    /// Where a picture's row starts, counted from the first row of zeros above it.
    pub fn row_start(&self, row: usize) -> usize {
        self.ring.map_or(row, |ring| row % ring) * self.row()
    }

    /// The index of a pixel.
    pub fn pixel(&self, image: usize, y: usize, x: usize) -> usize {
        image * self.image() + self.row_start(y + self.pad) + x + self.pad
    }

    /// Pixels of all pictures with the zeros around them.
    pub fn pixels(&self) -> usize {
        self.capacity * self.image() + self.pad * (self.row() + 1)
    }
}

/// How the values of a bf16 plane lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Halves {
    /// One plane of values rounded to bf16.
    Single,
    /// Rounded values, and in a second plane the remainders of the rounding.
    Planar,
    /// For each block of channels the rounded values, then the remainders: a cache line and a row
    /// of a tile.
    Interleaved,
}

impl Halves {
    /// Numbers for each value.
    pub fn count(self) -> usize {
        if self == Self::Single { 1 } else { 2 }
    }

    /// Numbers from one value of a plane to the next, block by block.
    pub fn block_stride(self) -> usize {
        if self == Self::Interleaved { 2 } else { 1 }
    }
}

/// Kernel, step and zeros around of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub kernel: [usize; 2],
    pub stride: usize,
    pub padding: usize,
}

/// How a window lies in a bf16 plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TileWindow {
    pub rows: usize,
    /// Elements in a row.
    pub length: usize,
    /// Elements from one row to the next.
    pub row: usize,
}

impl TileWindow {
    /// A window of `kernel` pixels `pitch` apart; rows of the plane are `row` pixels apart.
    pub fn new([rows, width]: [usize; 2], pitch: usize, row: usize, halves: Halves) -> Self {
        let pitch = pitch * halves.block_stride();
        Self { rows, length: width * pitch, row: row * pitch }
    }

    /// Whether three rows together fit one step of 32 elements: then they are gathered for it.
    pub fn is_gathered(&self) -> bool {
        self.rows == 3 && 3 * self.length <= TILE_DEPTH
    }

    /// How many times so many steps a window takes.
    pub fn steps(&self) -> [usize; 2] {
        if self.is_gathered() { [1, 1] } else { [self.rows, self.length.div_ceil(TILE_DEPTH)] }
    }
}

/// The order in which a convolution visits its outputs: runs of outputs whose windows start at
/// evenly spaced pixels of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TilingLoop {
    source: Layout,
    /// Rows and columns of the source before the first cell of the first output's window, counted
    /// from the first zeros.
    start: usize,
    /// Source pixels from one output to the next in a row, and source rows from one to the next.
    pub step: usize,
    /// Source pixels from one output row, and from one picture, to the next.
    row: usize,
    image: usize,
    /// Size of the output.
    pub height: usize,
    pub width: usize,
    /// Whether one run goes through all rows and pictures: the windows between the end of a row
    /// and the start of the next are visited too and their results dropped.
    through: bool,
}

impl TilingLoop {
    /// The cheaper order for tiles of `rows` outputs.
    pub fn new(source: &Layout, window: Window, output: Shape, rows: usize) -> Self {
        let tiling = Self {
            source: *source,
            start: source.pad - window.padding,
            step: window.stride,
            row: window.stride * source.row(),
            image: source.image(),
            height: output.height,
            width: output.width,
            through: false,
        };
        if (output.height, output.width) == (1, 1) {
            return Self { step: tiling.image, row: tiling.image, through: true, ..tiling };
        }
        // Padding beyond half the window makes rows of outputs longer than rows of the source.
        let in_order = output.width <= tiling.row && output.height * tiling.row <= tiling.image;
        let visited = tiling.image.div_ceil(rows);
        let separate = output.height * output.width.div_ceil(rows);
        let in_order = in_order && source.ring.is_none();
        Self { through: window.stride == 1 && in_order && visited <= separate, ..tiling }
    }

    /// The source pixel under the first cell of an output's window.
    pub fn source(&self, [image, y, x]: [usize; 3]) -> usize {
        let row = self.source.row_start(self.start + y * self.step);
        image * self.image + row + self.start + x * self.step
    }

    /// One past the last source pixel that a tile of `rows` outputs may start a window at.
    pub fn reach(&self, images: usize, rows: usize) -> usize {
        self.source([images - 1, self.height - 1, self.width - 1 + rows])
    }

    /// The tiles of `size` outputs for some rows of the first `images` pictures.
    pub fn tiles(&self, images: usize, rows: Range<usize>, size: usize) -> Tiles<'_> {
        let images = if rows.is_empty() { 0 } else { images };
        Tiles { tiling: self, images, at: [0, rows.start, 0], rows, size: size.min(MAX_ROWS) }
    }
}

/// The most outputs in a tile.
pub(crate) const MAX_ROWS: usize = 32;

/// Neighbouring outputs in a tile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first one's row in the tile.
    pub first: usize,
    pub length: usize,
    /// The first one's picture, row and column.
    pub at: [usize; 3],
}

/// Outputs that are computed together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    /// The source pixel at which the first window starts.
    pub source: usize,
    /// Rows that are computed.
    pub rows: usize,
    spans: [Span; MAX_ROWS],
    count: usize,
}

impl Tile {
    /// A tile to be filled by [`Tiles::next`].
    pub const EMPTY: Self = Self {
        source: 0,
        rows: 0,
        spans: [Span { first: 0, length: 0, at: [0; 3] }; MAX_ROWS],
        count: 0,
    };

    /// The rows that are kept.
    pub fn spans(&self) -> &[Span] {
        &self.spans[..self.count]
    }
}

/// Goes through the tiles of a [`TilingLoop`].
#[derive(Debug, Clone)]
pub(crate) struct Tiles<'a> {
    tiling: &'a TilingLoop,
    images: usize,
    rows: Range<usize>,
    /// Outputs in a tile.
    size: usize,
    /// Picture, row and column of the next output.
    at: [usize; 3],
}

impl Tiles<'_> {
    /// Makes the next tile, if there is one. Not an iterator: a tile is large, and copying it
    /// would cost more than many a tile's product.
    pub fn next(&mut self, tile: &mut Tile) -> bool {
        let tiling = self.tiling;
        let [image, y, x] = self.at;
        if image >= self.images {
            return false;
        }
        let position = image * tiling.image + y * tiling.row + x * tiling.step;
        tile.source = tiling.source(self.at);
        tile.count = 0;
        let mut first = 0;
        loop {
            let [image, y, x] = self.at;
            let length = (tiling.width - x).min(self.size - first);
            tile.spans[tile.count] = Span { first, length, at: self.at };
            tile.count += 1;
            tile.rows = first + length;
            self.at = if x + length < tiling.width {
                [image, y, x + length]
            } else if y + 1 < self.rows.end {
                [image, y + 1, 0]
            } else {
                [image + 1, self.rows.start, 0]
            };
            if !tiling.through || self.at[0] >= self.images || tile.rows == self.size {
                return true;
            }
            let [image, y, x] = self.at;
            let here = image * tiling.image + y * tiling.row + x * tiling.step;
            first = (here - position) / tiling.step;
            if first >= self.size {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, Tile, TilingLoop, Window};
    use crate::network::Shape;

    /// Every output is visited once, in a tile whose rows start at its window.
    #[test]
    fn tiling_loops_visit_every_output_once() {
        for (side, kernel, stride, padding, images, rows) in [
            (7, 3, 1, 1, 3, 16),
            (7, 3, 2, 1, 2, 14),
            (5, 1, 1, 0, 4, 32),
            (5, 5, 1, 0, 9, 4),
            (40, 3, 1, 1, 1, 6),
            (4, 1, 1, 2, 2, 16),
            (6, 3, 1, 0, 2, 32),
            (6, 1, 2, 0, 2, 8),
        ] {
            let shape = |side| Shape { channels: 1, height: side, width: side };
            let source = Layout::new(shape(side), 16, padding, images);
            let window = Window { kernel: [kernel; 2], stride, padding };
            let outputs = (side + 2 * padding - kernel) / stride + 1;
            let tiling = TilingLoop::new(&source, window, shape(outputs), rows);
            let mut seen = vec![0; images * outputs * outputs];
            let middle = outputs / 3;
            let bands = [0..middle, middle..outputs];
            let mut tile = Tile::EMPTY;
            let mut tiles = bands.into_iter().map(|band| tiling.tiles(images, band, rows));
            let mut current = tiles.next().unwrap();
            loop {
                if !current.next(&mut tile) {
                    match tiles.next() {
                        Some(next) => current = next,
                        None => break,
                    }
                    continue;
                }
                assert!(tile.rows <= rows && !tile.spans().is_empty());
                for span in tile.spans() {
                    for i in 0..span.length {
                        let [image, y, x] = [span.at[0], span.at[1], span.at[2] + i];
                        seen[(image * outputs + y) * outputs + x] += 1;
                        let window =
                            source.pixel(image, 0, 0) + y * stride * source.row() + x * stride
                                - padding * (source.row() + 1);
                        assert_eq!(tile.source + (span.first + i) * tiling.step, window);
                        assert!(window < tiling.reach(images, rows));
                    }
                }
            }
            assert!(seen.iter().all(|&count| count == 1), "{side} {kernel} {stride}");
        }
    }
}
