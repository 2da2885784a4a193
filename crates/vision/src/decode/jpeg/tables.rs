//! The Huffman and quantization tables of a JPEG.

use facefold_core::Rejection;

use super::huffman::Definition;
use super::undecodable;

/// The tables that hold at a place of the file.
#[derive(Default)]
pub(crate) struct Tables {
    pub dc: [Option<Definition>; 4],
    pub ac: [Option<Definition>; 4],
    pub quanta: [Option<[u16; 64]>; 4],
    pub interval: usize,
}

impl Tables {
    /// Takes over the tables of a segment.
    pub fn huffman(&mut self, mut content: &[u8]) -> Result<(), Rejection> {
        let corrupt = || undecodable("a Huffman table that is no such table");
        while let Some((&slot, rest)) = content.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(corrupt)?;
            let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or_else(corrupt)?;
            let class = if slot >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let place = class.get_mut(usize::from(slot & 15)).ok_or_else(corrupt)?;
            if total > 256 || slot >> 4 > 1 {
                return Err(corrupt());
            }
            *place = Some(Definition { counts: *counts, symbols: symbols.to_vec() });
            content = rest;
        }
        Ok(())
    }

    /// Takes over the tables of a segment.
    pub fn quantization(&mut self, mut content: &[u8]) -> Result<(), Rejection> {
        let corrupt = || undecodable("a quantization table that is no such table");
        while let Some((&slot, rest)) = content.split_first() {
            let wide = slot >> 4;
            let length = if wide == 0 { 64 } else { 128 };
            let (values, rest) = rest.split_at_checked(length).ok_or_else(corrupt)?;
            let place = self.quanta.get_mut(usize::from(slot & 15)).ok_or_else(corrupt)?;
            let mut quanta = [0; 64];
            for (index, value) in quanta.iter_mut().enumerate() {
                *value = if wide == 0 {
                    u16::from(values[index])
                } else {
                    u16::from_be_bytes([values[2 * index], values[2 * index + 1]])
                };
            }
            // A step of 0 would make all coefficients 0 (ITU-T T.81, B.2.4.1 forbids it).
            if wide > 1 || quanta.contains(&0) {
                return Err(corrupt());
            }
            *place = Some(quanta);
            content = rest;
        }
        Ok(())
    }
}
