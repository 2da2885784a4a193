//! The font of everything that is drawn: labels on pictures and text in plots.

/// `DejaVu` Sans, a subset with Latin, Greek and Cyrillic letters, as a TrueType file; its licence is
/// in `assets/LICENCE-DejaVu.txt`.
pub const DEJAVU_SANS: &[u8] = include_bytes!("../assets/DejaVuSans-subset.ttf");
