//! The segments of a JPEG file, parsed once.

use facefold_core::Rejection;
use image::metadata::Orientation;

use super::super::exif;
use super::frame::Frame;
use super::huffman::Definition;
use super::tables::Tables;
use super::undecodable;

const TEMPORARY: u8 = 0x01;
const RESTARTS: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
const QUANTIZATION: u8 = 0xdb;
const RESTART_INTERVAL: u8 = 0xdd;
const HUFFMAN: u8 = 0xc4;

/// More scans than this are no picture but a burden: libjpeg writes 10, and a decoder passes over
/// all blocks for each.
const MOST_SCANS: usize = 100;

/// More restart markers than the largest picture has MCUs, and more tables than all scans could
/// use: remembering them would take more memory than the picture.
const MOST_RESTARTS: usize = 1 << 21;
const MOST_PIECES: usize = 1 << 12;

/// A component's part in a scan.
#[derive(Debug, Clone)]
pub(crate) struct ScanComponent {
    /// Its place in the frame.
    pub index: usize,
    pub dc: Option<Definition>,
    pub ac: Option<Definition>,
    /// Quantization of its coefficients in zigzag order.
    pub quanta: Option<[u16; 64]>,
    tables: u8,
}

/// A scan: its header, the tables that hold for it, and its data.
#[derive(Debug, Clone)]
pub(crate) struct Scan<'a> {
    pub components: Vec<ScanComponent>,
    /// First and last coefficient.
    pub band: (usize, usize),
    /// Bit of the coefficients that came before (0: none), and the one that this scan ends with.
    pub high: u8,
    pub low: u8,
    /// MCUs between two restarts; 0 for no restarts.
    pub interval: usize,
    /// The data between restart markers, and the number of the marker after each but the last.
    pub parts: Vec<&'a [u8]>,
    pub restarts: Vec<u8>,
    /// All of its data, restart markers among them.
    data: &'a [u8],
}

/// What makes pixels, in the order of the file.
#[derive(Debug, Clone)]
enum Piece<'a> {
    /// A segment of tables, with its marker.
    Tables(u8, &'a [u8]),
    Frame,
    /// The scan with this number.
    Scan(usize),
}

/// A JPEG file's frame and scans.
#[derive(Debug, Clone)]
pub(crate) struct File<'a> {
    frame: Result<Frame, Rejection>,
    pub scans: Vec<Scan<'a>>,
    pieces: Vec<Piece<'a>>,
    pub orientation: Orientation,
    /// Whether the file ends before the picture's own end marker, or that stands before any scan.
    pub ends_early: bool,
    rgb: bool,
    /// What is wrong with segments behind the frame header.
    damage: Option<Rejection>,
}

/// Signs of the colours.
#[derive(Default)]
struct Colours {
    jfif: bool,
    /// The transform of an Adobe segment.
    adobe: Option<u8>,
}

impl<'a> File<'a> {
    /// Parses a file. Errors are reported by the accessors.
    pub fn parse(bytes: &'a [u8]) -> Self {
        let mut file = Self {
            frame: Err(undecodable("no JPEG frame header was found")),
            scans: Vec::new(),
            pieces: Vec::new(),
            orientation: Orientation::NoTransforms,
            ends_early: false,
            rgb: false,
            damage: None,
        };
        let (mut tables, mut colours) = (Tables::default(), Colours::default());
        let mut reader = Reader { bytes, at: 2 };
        loop {
            let Some((marker, content)) = reader.next() else {
                file.ends_early = true;
                break;
            };
            if marker == END_OF_IMAGE {
                file.ends_early = file.scans.is_empty();
                break;
            }
            if let Err(rejection) = file.segment(marker, content, &mut tables, &mut colours) {
                file.damage = Some(rejection);
                break;
            }
            if marker == START_OF_SCAN {
                file.read_data(&mut reader);
                if file.damage.is_some() {
                    break;
                }
            }
        }
        file.rgb = file.frame.as_ref().is_ok_and(|frame| is_rgb(frame, &colours));
        file
    }

    /// The frame header: the one that is checked is the one that is decoded.
    ///
    /// # Errors
    /// There is none, or it cannot be decoded.
    pub fn frame(&self) -> Result<&Frame, Rejection> {
        self.frame.as_ref().map_err(|missing| self.damage.as_ref().unwrap_or(missing).clone())
    }

    /// Whether the components are red, green and blue as they are.
    pub fn rgb(&self) -> bool {
        self.rgb
    }

    /// Checks that the file's scans make up the picture.
    ///
    /// # Errors
    /// Corrupt segments, scans that give a part twice or not at all.
    pub fn check_scans(&self) -> Result<(), Rejection> {
        if let Some(damage) = &self.damage {
            return Err(damage.clone());
        }
        let frame = self.frame()?;
        // The bit that each coefficient was given down to; none before its first scan.
        let mut given = vec![[None; 64]; frame.components.len()];
        for (number, scan) in (1..).zip(&self.scans) {
            for component in &scan.components {
                for slot in &mut given[component.index][scan.band.0..=scan.band.1] {
                    let before = if scan.high == 0 { None } else { Some(scan.high) };
                    if *slot != before {
                        return Err(undecodable(format!(
                            "scan {number} gives coefficients of component {} out of turn",
                            component.index + 1
                        )));
                    }
                    *slot = Some(scan.low);
                }
            }
        }
        match given.iter().position(|slots| slots.iter().any(|slot| *slot != Some(0))) {
            None => Ok(()),
            Some(index) => Err(Rejection::new(
                facefold_core::RejectReason::Truncated,
                format!("scans are missing: component {} is not given in full", index + 1),
            )),
        }
    }

    /// The file reduced to the segments that make pixels.
    pub fn canonical(&self) -> Result<Vec<u8>, Rejection> {
        let frame = self.frame()?;
        let id = |index: usize| if self.rgb { b"RGB"[index.min(2)] } else { index as u8 + 1 };
        let length: usize = self.scans.iter().map(|scan| scan.data.len()).sum();
        let mut out = Vec::with_capacity(length + 4096);
        out.extend([0xff, START_OF_IMAGE]);
        for piece in &self.pieces {
            match piece {
                Piece::Tables(marker, content) => write(&mut out, *marker, content),
                Piece::Frame => {
                    let [h1, h0] = frame.height.to_be_bytes();
                    let [w1, w0] = frame.width.to_be_bytes();
                    let mut content = vec![8, h1, h0, w1, w0, frame.components.len() as u8];
                    for (index, c) in frame.components.iter().enumerate() {
                        let sampling = (c.h << 4 | c.v) as u8;
                        content.extend([id(index), sampling, c.quantization as u8]);
                    }
                    write(&mut out, if frame.progressive { 0xc2 } else { 0xc1 }, &content);
                }
                Piece::Scan(number) => {
                    let scan = &self.scans[*number];
                    let mut content = vec![scan.components.len() as u8];
                    for component in &scan.components {
                        content.extend([id(component.index), component.tables]);
                    }
                    let bits = scan.high << 4 | scan.low;
                    content.extend([scan.band.0 as u8, scan.band.1 as u8, bits]);
                    write(&mut out, START_OF_SCAN, &content);
                    out.extend_from_slice(scan.data);
                }
            }
        }
        out.extend([0xff, END_OF_IMAGE]);
        Ok(out)
    }

    fn segment(
        &mut self,
        marker: u8,
        content: &'a [u8],
        tables: &mut Tables,
        colours: &mut Colours,
    ) -> Result<(), Rejection> {
        match marker {
            HUFFMAN => {
                tables.huffman(content)?;
                self.add_tables(marker, content)?;
            }
            QUANTIZATION => {
                tables.quantization(content)?;
                self.add_tables(marker, content)?;
            }
            RESTART_INTERVAL => {
                let Some(&[high, low]) = content.first_chunk() else {
                    return Err(undecodable("a restart interval of no length"));
                };
                tables.interval = usize::from(u16::from_be_bytes([high, low]));
                // What follows the number would be another reader's.
                self.add_tables(marker, &content[..2])?;
            }
            START_OF_SCAN => {
                let scan = self.scan(content, tables)?;
                if self.scans.len() == MOST_SCANS {
                    return Err(undecodable(format!("more than {MOST_SCANS} scans")));
                }
                self.pieces.push(Piece::Scan(self.scans.len()));
                self.scans.push(scan);
            }
            START_OF_IMAGE => return Err(undecodable("a second start of an image")),
            // Settings of arithmetic coding: the frame header says whether it is used.
            0xcc => {}
            0xc0..=0xcf => {
                if self.frame.is_ok() {
                    return Err(undecodable("more than one frame header"));
                }
                self.frame = Frame::parse(marker, content);
                self.pieces.push(Piece::Frame);
                return self.frame.as_ref().map(|_| ()).map_err(Clone::clone);
            }
            0xe0 if content.starts_with(b"JFIF\0") => colours.jfif = true,
            0xe1 => self.read_orientation(content),
            0xee if content.starts_with(b"Adobe") => {
                colours.adobe = content.get(11).copied().or(colours.adobe);
            }
            _ => {}
        }
        Ok(())
    }

    fn add_tables(&mut self, marker: u8, content: &'a [u8]) -> Result<(), Rejection> {
        if self.pieces.len() >= MOST_PIECES {
            return Err(undecodable(format!("more than {MOST_PIECES} tables")));
        }
        self.pieces.push(Piece::Tables(marker, content));
        Ok(())
    }

    fn read_orientation(&mut self, content: &[u8]) {
        if self.orientation == Orientation::NoTransforms
            && let Some(exif) = content.strip_prefix(b"Exif\0\0")
            && let Some(orientation) = exif::orientation(exif)
        {
            self.orientation = orientation;
        }
    }

    fn scan(&self, content: &[u8], tables: &Tables) -> Result<Scan<'a>, Rejection> {
        let corrupt = || undecodable("a scan header that is no such header");
        let frame = self.frame.as_ref().map_err(|_| undecodable("a scan before the frame"))?;
        let (&count, rest) = content.split_first().ok_or_else(corrupt)?;
        let (chosen, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or_else(corrupt)?;
        let &[first, last, bits] = rest.first_chunk().ok_or_else(corrupt)?;
        let (high, low) = (bits >> 4, bits & 15);
        let mut components = Vec::new();
        for &[id, slots] in chosen.as_chunks().0 {
            let index = frame.components.iter().position(|c| c.id == id).ok_or_else(corrupt)?;
            if components.iter().any(|known: &ScanComponent| known.index == index) {
                return Err(corrupt());
            }
            let table = |slots: &[Option<Definition>; 4], slot: u8| {
                slots.get(usize::from(slot)).cloned().flatten()
            };
            components.push(ScanComponent {
                index,
                dc: table(&tables.dc, slots >> 4),
                ac: table(&tables.ac, slots & 15),
                quanta: tables.quanta[frame.components[index].quantization],
                tables: slots,
            });
        }
        // A sequential scan gives all coefficients, whatever its header declares.
        let (band, high, low) = if frame.progressive {
            ((usize::from(first), usize::from(last)), high, low)
        } else {
            ((0, 63), 0, 0)
        };
        let sound = !components.is_empty()
            && components.len() <= 4
            && band.0 <= band.1
            && band.1 < 64
            && low <= 13
            && (high == 0 || high == low + 1);
        // DC and other coefficients do not share a progressive scan, nor do components with the
        // latter; an MCU has at most 10 blocks.
        let blocks = |c: &ScanComponent| frame.components[c.index].h * frame.components[c.index].v;
        let alone = components.len() == 1;
        let sound = sound
            && (alone || components.iter().map(blocks).sum::<usize>() <= 10)
            && (!frame.progressive || if band.0 == 0 { band.1 == 0 } else { alone });
        if !sound {
            return Err(corrupt());
        }
        let interval = tables.interval;
        let (parts, restarts) = (Vec::new(), Vec::new());
        Ok(Scan { components, band, high, low, interval, parts, restarts, data: &[] })
    }

    /// Reads the data of the scan whose header was just read.
    fn read_data(&mut self, reader: &mut Reader<'a>) {
        let Some(scan) = self.scans.last_mut() else { return };
        let (bytes, start) = (reader.bytes, reader.at);
        let mut part = start;
        let end = loop {
            let found = bytes.get(reader.at..).and_then(|rest| memchr::memchr(0xff, rest));
            let Some(at) = found.map(|offset| reader.at + offset) else { break bytes.len() };
            let fill = bytes[at..].iter().take_while(|&&byte| byte == 0xff).count();
            match bytes.get(at + fill) {
                None => break bytes.len(),
                Some(0) => reader.at = at + fill + 1,
                Some(marker) if RESTARTS.contains(marker) => {
                    if scan.restarts.len() == MOST_RESTARTS {
                        self.damage = Some(undecodable("more restart markers than blocks"));
                        return;
                    }
                    scan.parts.push(&bytes[part..at]);
                    scan.restarts.push(marker - RESTARTS.start());
                    reader.at = at + fill + 1;
                    part = reader.at;
                }
                Some(_) => break at,
            }
        };
        scan.parts.push(&bytes[part..end]);
        scan.data = &bytes[start..end];
        reader.at = end;
    }
}

/// Segments, from one marker to the next.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next marker and its content; none where the file ends before.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        loop {
            // Some cameras pad segments; libjpeg passes over such bytes too.
            self.at += memchr::memchr(0xff, self.bytes.get(self.at..)?)?;
            let marker = *self.bytes.get(self.at + 1)?;
            match marker {
                // A fill byte: the marker may start at the next one.
                0xff => self.at += 1,
                0x00 | TEMPORARY | 0xd0..=0xd7 => self.at += 2,
                START_OF_IMAGE | END_OF_IMAGE => {
                    self.at += 2;
                    return Some((marker, &[]));
                }
                _ => {
                    let start = self.at + 2;
                    let length = u16::from_be_bytes(*self.bytes.get(start..)?.first_chunk()?);
                    let end = start + usize::from(length.max(2));
                    self.at = end;
                    return Some((marker, self.bytes.get(start + 2..end)?));
                }
            }
        }
    }
}

fn write(out: &mut Vec<u8>, marker: u8, content: &[u8]) {
    out.extend([0xff, marker]);
    out.extend((content.len() as u16 + 2).to_be_bytes());
    out.extend_from_slice(content);
}

/// As libjpeg decides: JFIF is always YCbCr; else the Adobe segment or the names say.
fn is_rgb(frame: &Frame, colours: &Colours) -> bool {
    let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
    ids.len() == 3
        && !colours.jfif
        && match colours.adobe {
            Some(transform) => transform == 0,
            None => ids == b"RGB",
        }
}
