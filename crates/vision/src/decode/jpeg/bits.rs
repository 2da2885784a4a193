//! The bits of entropy-coded data, a restart interval at a time.

/// Reads bits from the most significant on. Past the end zeros follow, and the balance of bits
/// becomes negative: [`Bits::overdrawn`].
///
/// A loop over codes keeps a copy of its own, which stays in registers.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, from the most significant on.
    buffer: u64,
    /// How many bits of the buffer are the data's.
    held: i32,
}

impl<'a> Bits<'a> {
    /// Data that hold no marker: 0xff is followed by 0 in them.
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, buffer: 0, held: 0 }
    }

    /// Makes sure that the next 56 bits are in the buffer.
    #[inline]
    pub fn fill(&mut self) {
        // After the end the buffer holds zeros only, and stays so.
        if self.held < 0 {
            return;
        }
        if let Some(next) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_be_bytes(*next);
            // Whether a byte of the word is 0xff: one of the inverted word is then zero.
            let inverted = !word;
            let ones = inverted.wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080;
            if ones == 0 {
                let bytes = (64 - self.held) / 8;
                self.buffer |= word >> self.held;
                self.held += 8 * bytes;
                self.at += bytes as usize;
                return;
            }
        }
        *self = self.refilled_by_bytes();
    }

    #[cold]
    #[inline(never)]
    fn refilled_by_bytes(mut self) -> Self {
        while self.held <= 56 {
            let Some(&byte) = self.data.get(self.at) else { break };
            self.at += 1;
            if byte == 0xff {
                // The stuffed zero, and fill bytes before it.
                while self.data.get(self.at) == Some(&0xff) {
                    self.at += 1;
                }
                self.at += 1;
            }
            // Part of the byte may be there from a whole word.
            self.buffer |= u64::from(byte) << (56 - self.held);
            self.held += 8;
        }
        self
    }

    /// The next bits, at most 16; [`Self::fill`] first.
    #[inline]
    pub fn peek(&self, count: u32) -> usize {
        (self.buffer >> (64 - count)) as usize
    }

    /// Passes over so many bits, at most 56 since the last [`Self::fill`].
    #[inline]
    pub fn skip(&mut self, count: u32) {
        self.buffer <<= count;
        self.held -= count as i32;
    }

    /// The next bits as a number, at most 16.
    #[inline]
    pub fn take(&mut self, count: u32) -> u32 {
        if count == 0 {
            return 0;
        }
        self.fill();
        let value = self.peek(count) as u32;
        self.skip(count);
        value
    }

    /// Whether more bits were taken than there are.
    #[inline]
    pub fn overdrawn(&self) -> bool {
        self.held < 0
    }

    /// Whether the byte that the last code ends in is filled up with ones, as an encoder does, and
    /// only zeros follow.
    pub fn end_before_zeros(&self) -> bool {
        let filling = u32::try_from(self.held % 8).unwrap_or(0);
        let filled = self.buffer.leading_ones() >= filling;
        filled && self.data.iter().rev().take(self.left()).all(|&byte| byte == 0)
    }

    /// Whole bytes that were not taken.
    pub fn left(&self) -> usize {
        self.data.len().saturating_sub(self.at) + usize::try_from(self.held / 8).unwrap_or(0)
    }
}
