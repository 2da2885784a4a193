//! The frame header of a JPEG: size, components and their blocks.

use facefold_core::Rejection;

use super::undecodable;

/// A component of the frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Component {
    pub id: u8,
    /// Horizontal sampling factor, 1 to 4.
    pub h: usize,
    /// Vertical sampling factor, 1 to 4.
    pub v: usize,
    /// Which quantization table.
    pub quantization: usize,
}

/// The frame header.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub progressive: bool,
    pub width: u16,
    pub height: u16,
    pub components: Vec<Component>,
}

impl Frame {
    /// Greatest sampling factors, horizontal and vertical.
    pub fn most(&self) -> (usize, usize) {
        let most = |factor: fn(&Component) -> usize| self.components.iter().map(factor).max();
        (most(|c| c.h).unwrap_or(1), most(|c| c.v).unwrap_or(1))
    }

    /// Whether zune-jpeg decodes components of these sampling factors as libjpeg does: the first
    /// component has the greatest ones, 1, 2 or 4, and each other one has those or 1.
    ///
    /// All 32 such combinations were compared. Where a 2 meets a 4, or another component than
    /// the first is the greatest, most come out wrong.
    pub fn is_sampled_as_usual(&self) -> bool {
        let (h, v) = self.most();
        let usual = |own: usize, most: usize| own == 1 || own == most;
        matches!(h, 1 | 2 | 4)
            && matches!(v, 1 | 2 | 4)
            && self.components.first().is_some_and(|first| (first.h, first.v) == (h, v))
            && self.components.iter().all(|c| usual(c.h, h) && usual(c.v, v))
    }

    /// Columns and rows of the blocks that cover a component, without padding to whole MCUs.
    pub fn blocks(&self, component: usize) -> (usize, usize) {
        let (h, v) = self.most();
        let Component { h: own_h, v: own_v, .. } = self.components[component];
        let covered = |side: u16, own: usize, most: usize| {
            (usize::from(side) * own).div_ceil(most).div_ceil(8)
        };
        (covered(self.width, own_h, h), covered(self.height, own_v, v))
    }

    /// Columns and rows of MCUs in a scan of several components.
    pub fn mcus(&self) -> (usize, usize) {
        let (h, v) = self.most();
        (usize::from(self.width).div_ceil(8 * h), usize::from(self.height).div_ceil(8 * v))
    }
}

impl Frame {
    /// Parses the content of a frame header with its marker.
    pub fn parse(marker: u8, content: &[u8]) -> Result<Self, Rejection> {
        if !(0xc0..=0xc2).contains(&marker) {
            let kind = match marker {
                0xc3 | 0xc7 | 0xcb | 0xcf => "lossless",
                0xc9 | 0xca | 0xcd | 0xce => "arithmetic-coded",
                0xc8 => "of a reserved kind",
                _ => "hierarchical",
            };
            return Err(undecodable(format!(
                "expected a baseline or progressive JPEG, found one that is {kind}"
            )));
        }
        let corrupt = || undecodable("a frame header that is no such header");
        let (&[precision, h1, h0, w1, w0, count], rest) =
            content.split_first_chunk().ok_or_else(corrupt)?;
        if precision != 8 {
            return Err(undecodable(format!("expected samples of 8 bits, found {precision}")));
        }
        let mut components = Vec::new();
        for &[id, sampling, quantization] in rest.as_chunks().0 {
            let (h, v) = (usize::from(sampling >> 4), usize::from(sampling & 15));
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) || quantization > 3 {
                return Err(corrupt());
            }
            components.push(Component { id, h, v, quantization: quantization.into() });
        }
        let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        let alike = (1..components.len())
            .any(|index| components[..index].iter().any(|c| c.id == components[index].id));
        let counted = components.len() == usize::from(count) && rest.len() == 3 * components.len();
        if width == 0 || height == 0 || components.is_empty() || !counted || alike {
            return Err(corrupt());
        }
        // A single component has blocks of its own, whatever its factors say.
        if let [only] = components.as_mut_slice() {
            (only.h, only.v) = (1, 1);
        }
        Ok(Self { progressive: marker == 0xc2, width, height, components })
    }
}
