//! Huffman tables that skip codes together with the bits that follow them.

use super::bits::Bits;

/// Codes of at most so many bits are found in one look.
const SHORT: u32 = 10;
const SLOTS: usize = 1 << SHORT;

/// The end of a block: beyond every coefficient.
pub(super) const END_OF_BLOCK: u32 = 128;

/// A table as the file defines it: how many codes have each length of 1 to 16 bits, and their
/// symbols.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub counts: [u8; 16],
    pub symbols: Vec<u8>,
}

/// What a code stands for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Code {
    /// Bits of the code and of the value that follows it; 0 where there is no such code.
    pub bits: u8,
    /// Bits of the value alone.
    pub size: u8,
    /// For a sequential block's coefficients: how far the code and its value lead.
    pub advance: u8,
    pub symbol: u8,
}

/// Bits of one or two codes that follow one another, their values included, and how far they lead.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    /// 0 where the first code is not among the short ones.
    pub bits: u8,
    pub advance: u8,
}

/// [`Table::pairs`].
pub(super) type Pairs = [Pair; SLOTS];

impl Pair {
    /// The code or two that come next.
    #[inline]
    pub fn next(pairs: &Pairs, bits: &Bits<'_>) -> Self {
        pairs[bits.peek(SHORT)]
    }
}

/// One code leads at most so far, if it does not end the block.
pub(super) const FARTHEST: u32 = 16;

pub(super) struct Table {
    short: Box<[Code; SLOTS]>,
    /// For each length: the first number that is above all its codes, left-aligned in 16 bits, and
    /// what to subtract from a code to find its symbol.
    long: [(u32, i32); 16],
    codes: Vec<Code>,
}

impl Table {
    /// None where the lengths make no prefix code.
    ///
    /// `code` says what a symbol stands for; one without a meaning is as good as no code.
    pub fn new(definition: &Definition, meaning: fn(u8) -> Option<Meaning>) -> Option<Self> {
        let mut table = Self {
            short: Box::new([Code::default(); SLOTS]),
            long: [(0, 0); 16],
            codes: Vec::new(),
        };
        let mut next = 0_u32;
        let mut symbols = definition.symbols.iter();
        for (length, &count) in (1_u32..).zip(&definition.counts) {
            let first = table.codes.len();
            for number in next..next + u32::from(count) {
                let &symbol = symbols.next()?;
                let code = meaning(symbol).map_or(Code::default(), |meaning| Code {
                    bits: length as u8 + meaning.size,
                    size: meaning.size,
                    advance: meaning.advance,
                    symbol,
                });
                table.codes.push(code);
                if length <= SHORT {
                    let start = (number << (SHORT - length)) as usize;
                    let slots = table.short.get_mut(start..start + (1 << (SHORT - length)))?;
                    slots.fill(code);
                }
            }
            next += u32::from(count);
            if next > 1 << length {
                return None;
            }
            table.long[length as usize - 1] =
                (next << (16 - length), first as i32 - (next as i32 - i32::from(count)));
            next <<= 1;
        }
        Some(table)
    }

    /// For passing over codes, two at a time, by the bits that come next.
    pub fn pairs(&self) -> Box<Pairs> {
        let pair = |index: usize| {
            let first = self.short[index];
            let single = Pair { bits: first.bits, advance: first.advance };
            let left = SHORT.saturating_sub(first.bits.into());
            if first.bits == 0 || u32::from(first.advance) > FARTHEST || left == 0 {
                return single;
            }
            let second = self.short[(index << first.bits) % SLOTS];
            let whole = second.bits > 0 && u32::from(second.bits - second.size) <= left;
            // Two pairs are taken from 56 bits.
            if !whole || first.bits + second.bits > 28 {
                return single;
            }
            Pair { bits: first.bits + second.bits, advance: first.advance + second.advance }
        };
        Box::new(std::array::from_fn(pair))
    }

    /// The code that comes next, not yet passed over; its `bits` are 0 where none does.
    #[inline]
    pub fn next(&self, bits: &Bits<'_>) -> Code {
        let code = self.short[bits.peek(SHORT)];
        if code.bits > 0 { code } else { self.next_long(bits.peek(16) as u32) }
    }

    #[cold]
    #[inline(never)]
    fn next_long(&self, ahead: u32) -> Code {
        for (length, &(end, offset)) in (1_u32..).zip(&self.long) {
            if ahead < end {
                let index = (ahead >> (16 - length)) as i32 + offset;
                return usize::try_from(index)
                    .ok()
                    .and_then(|index| self.codes.get(index))
                    .copied()
                    .unwrap_or_default();
            }
        }
        Code::default()
    }
}

/// What a symbol stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meaning {
    /// Bits of the value that follows.
    pub size: u8,
    /// How far it leads within a block.
    pub advance: u8,
}

/// A difference of DC coefficients; of 8-bit samples at most 11 bits.
pub(super) fn difference(symbol: u8) -> Option<Meaning> {
    (symbol <= 11).then_some(Meaning { size: symbol, advance: 1 })
}

/// A run of zeros and a coefficient of a sequential block, at most 10 bits.
pub(super) fn run_and_value(symbol: u8) -> Option<Meaning> {
    let (run, size) = (symbol >> 4, symbol & 15);
    match (run, size) {
        (0, 0) => Some(Meaning { size: 0, advance: END_OF_BLOCK as u8 }),
        (15, 0) | (_, 1..=10) => Some(Meaning { size, advance: run + 1 }),
        _ => None,
    }
}

/// A run of zeros and a coefficient of a progressive scan, or of blocks that end.
pub(super) fn run_or_end(symbol: u8) -> Option<Meaning> {
    let (run, size) = (symbol >> 4, symbol & 15);
    match (run, size) {
        (0..=14, 0) => Some(Meaning { size: run, advance: END_OF_BLOCK as u8 }),
        (15, 0) | (_, 1..=10) => Some(Meaning { size, advance: run + 1 }),
        _ => None,
    }
}

/// The value of so many bits (T.81, F.2.2.1).
#[inline]
pub(super) fn extend(bits: u32, size: u32) -> i32 {
    if size == 0 || bits >> (size - 1) == 1 { bits as i32 } else { bits as i32 - (1 << size) + 1 }
}
