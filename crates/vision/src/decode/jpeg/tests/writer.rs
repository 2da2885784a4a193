//! Writes JPEG files of flat blocks in any sampling, kind and order of scans.

use std::iter::once;

pub const WIDTH: usize = 53;
pub const HEIGHT: usize = 37;

/// Which scans a file has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scans {
    /// All components in one.
    Single,
    /// One for each component.
    Separate,
    /// First the means of all blocks, then the other coefficients of each component.
    Progressive,
}

/// Sampling factors of three components, horizontal and vertical.
pub type Sampling = [(usize, usize); 3];

/// A file whose blocks have the mean that `mean` gives for a component, a column and a row.
pub fn jpeg(sampling: Sampling, scans: Scans, mean: fn(usize, usize, usize) -> i32) -> Vec<u8> {
    let mut file = vec![0xff, 0xd8];
    // One table, with a step of 8: a step of the first coefficient is then one of the mean.
    segment(&mut file, 0xdb, &[&[0], [8; 64].as_slice()].concat());
    let mut frame = vec![8, 0, HEIGHT as u8, 0, WIDTH as u8, 3];
    for (id, (h, v)) in (1..).zip(sampling) {
        frame.extend([id, (h << 4 | v) as u8, 0]);
    }
    segment(&mut file, if scans == Scans::Progressive { 0xc2 } else { 0xc0 }, &frame);
    // Twelve sizes of differences with codes of 4 bits; the end of a block with the code 0.
    let mut lengths = [0; 16];
    lengths[3] = 12;
    segment(
        &mut file,
        0xc4,
        &[&[0x00], lengths.as_slice(), &(0..12).collect::<Vec<u8>>()].concat(),
    );
    segment(&mut file, 0xc4, &[&[0x10, 1], [0; 15].as_slice(), &[0]].concat());
    let blocks = Blocks { sampling, mean };
    match scans {
        Scans::Single => scan(&mut file, &[0, 1, 2], [0, 63], &blocks.sequential(&[0, 1, 2])),
        Scans::Separate => {
            (0..3).for_each(|c| scan(&mut file, &[c], [0, 63], &blocks.sequential(&[c])));
        }
        Scans::Progressive => {
            scan(&mut file, &[0, 1, 2], [0, 0], &blocks.means(&[0, 1, 2]));
            for c in 0..3 {
                let ends = vec![false; blocks.order(&[c]).len()];
                scan(&mut file, &[c], [1, 63], &ends);
            }
        }
    }
    file.extend([0xff, 0xd9]);
    file
}

struct Blocks {
    sampling: Sampling,
    mean: fn(usize, usize, usize) -> i32,
}

impl Blocks {
    /// The blocks of a scan: component, column and row.
    fn order(&self, components: &[usize]) -> Vec<(usize, usize, usize)> {
        let most_h = self.sampling.map(|factors| factors.0).into_iter().max().unwrap();
        let most_v = self.sampling.map(|factors| factors.1).into_iter().max().unwrap();
        if let &[c] = components {
            let (h, v) = self.sampling[c];
            let columns = (WIDTH * h).div_ceil(most_h).div_ceil(8);
            let rows = (HEIGHT * v).div_ceil(most_v).div_ceil(8);
            return (0..rows).flat_map(|y| (0..columns).map(move |x| (c, x, y))).collect();
        }
        let (columns, rows) = (WIDTH.div_ceil(8 * most_h), HEIGHT.div_ceil(8 * most_v));
        let mut order = Vec::new();
        for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
            for &c in components {
                let (h, v) = self.sampling[c];
                let inside = (0..v).flat_map(|down| (0..h).map(move |right| (right, down)));
                order.extend(inside.map(|(right, down)| (c, x * h + right, y * v + down)));
            }
        }
        order
    }

    /// The codes of each block's mean.
    fn codes(&self, components: &[usize]) -> Vec<Vec<bool>> {
        let mut last = [0; 3];
        let code = |(c, x, y): (usize, usize, usize)| {
            let mean = (self.mean)(c, x, y);
            let difference: i32 = mean - last[c];
            last[c] = mean;
            let size = 32 - difference.unsigned_abs().leading_zeros();
            let value = if difference < 0 { difference + (1 << size) - 1 } else { difference };
            let code = (0..4).rev().map(|bit| size >> bit & 1 == 1);
            code.chain((0..size).rev().map(|bit| value >> bit & 1 == 1)).collect()
        };
        self.order(components).into_iter().map(code).collect()
    }

    fn means(&self, components: &[usize]) -> Vec<bool> {
        self.codes(components).concat()
    }

    fn sequential(&self, components: &[usize]) -> Vec<bool> {
        self.codes(components)
            .into_iter()
            .flat_map(|code| code.into_iter().chain(once(false)))
            .collect()
    }
}

fn scan(file: &mut Vec<u8>, components: &[usize], band: [u8; 2], bits: &[bool]) {
    let mut header = vec![components.len() as u8];
    header.extend(components.iter().flat_map(|&c| [c as u8 + 1, 0]));
    header.extend([band[0], band[1], 0]);
    segment(file, 0xda, &header);
    for byte in bits.chunks(8) {
        let padded = byte.iter().copied().chain(std::iter::repeat(true)).take(8);
        let byte = padded.fold(0, |byte, bit| byte << 1 | u8::from(bit));
        file.push(byte);
        if byte == 0xff {
            file.push(0);
        }
    }
}

fn segment(file: &mut Vec<u8>, marker: u8, content: &[u8]) {
    file.extend([0xff, marker]);
    file.extend((content.len() as u16 + 2).to_be_bytes());
    file.extend_from_slice(content);
}
