//! Which pictures an extraction is at: where it was when its program ended.
//!
//! Decoders are third-party code that gets arbitrary bytes. One that ends the program (memory
//! that is refused, a stack that overflows) leaves no rejection behind, and the next run would end
//! at the same picture. So the pictures in work are written down before, by name.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use facefold_core::ImageKey;
use fs_err as fs;

use crate::error::StoreError;
use crate::store::Store;
use crate::writer::StoreWriter;

/// The file's name.
pub(crate) const FILE: &str = "attempts";
/// Written after the last picture; what follows it was left from a longer list.
const END: &str = "end";

/// The pictures that an extraction is at, in a file of the store.
#[derive(Debug)]
pub struct Attempts {
    path: PathBuf,
    /// What the file held at first: how many runs ended at each picture.
    earlier: HashMap<ImageKey, u32>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    file: fs::File,
    lines: HashMap<ImageKey, Line>,
}

/// A picture in work, or one at which an earlier run ended.
#[derive(Debug)]
struct Line {
    /// How many runs were at it, this one too.
    runs: u32,
    path: String,
}

impl StoreWriter {
    /// Opens the list of pictures in work, with those at which an earlier run ended.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn attempts(&self) -> Result<Attempts, StoreError> {
        Ok(Attempts::open(&self.layout.directory)?)
    }
}

impl Store {
    /// Whether an extraction into the store is under way, or was cut off.
    #[must_use]
    pub fn extraction_is_unfinished(&self) -> bool {
        self.layout.directory.join(FILE).exists()
    }
}

impl Attempts {
    fn open(directory: &Path) -> std::io::Result<Self> {
        let path = directory.join(FILE);
        // The lines stay until their pictures were tried again: this run may end before.
        let lines = match fs::read(&path) {
            Ok(bytes) => parse(&String::from_utf8_lossy(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => HashMap::new(),
            Err(error) => return Err(error),
        };
        let earlier = lines.iter().map(|(key, line)| (*key, line.runs)).collect();
        let file = fs::OpenOptions::new().create(true).write(true).truncate(false).open(&path)?;
        Ok(Self { path, earlier, current: Mutex::new(Current { file, lines }) })
    }

    /// How many runs ended while they were at this picture.
    #[must_use]
    pub fn earlier(&self, key: &ImageKey) -> u32 {
        self.earlier.get(key).copied().unwrap_or(0)
    }

    /// Writes down that these pictures are in work now.
    ///
    /// # Errors
    /// A file that cannot be written: the pictures should not be tried then.
    pub fn begin<'a>(
        &self,
        pictures: impl IntoIterator<Item = (ImageKey, &'a Path)>,
    ) -> Result<(), StoreError> {
        let mut current = self.lock();
        for (key, path) in pictures {
            let path = path.to_string_lossy().escape_debug().to_string();
            let line = Line { runs: self.earlier(&key).saturating_add(1), path };
            current.lines.insert(key, line);
        }
        Ok(current.write()?)
    }

    /// Takes pictures off the list: they are done.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn end<'a>(&self, keys: impl IntoIterator<Item = &'a ImageKey>) -> Result<(), StoreError> {
        let mut current = self.lock();
        for key in keys {
            current.lines.remove(key);
        }
        Ok(current.write()?)
    }

    /// Removes the list: all pictures are done.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn close(self) -> Result<(), StoreError> {
        Ok(fs::remove_file(&self.path)?)
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    /// One write, which the end of this program does not cut: a power failure may, and then nothing
    /// of it is believed.
    fn write(&mut self) -> std::io::Result<()> {
        let mut text = String::new();
        for (key, Line { runs, path }) in &self.lines {
            // Writing into a text does not fail.
            let _ = writeln!(text, "{runs} {key} {path}");
        }
        let _ = writeln!(text, "{END}");
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(text.as_bytes())
    }
}

fn parse(text: &str) -> HashMap<ImageKey, Line> {
    let mut found = HashMap::new();
    for line in text.lines() {
        if line == END {
            return found;
        }
        let mut words = line.splitn(3, ' ');
        let runs = words.next().and_then(|word| word.parse().ok());
        let key = words.next().and_then(|word| word.parse().ok());
        let (Some(runs), Some(key), Some(path)) = (runs, key, words.next()) else { break };
        found.insert(key, Line { runs, path: path.to_owned() });
    }
    HashMap::new()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use facefold_core::ImageKey;

    use super::Attempts;

    #[test]
    fn pictures_in_work_at_a_crash_are_known_to_the_next_run() {
        let directory = tempfile::tempdir().unwrap();
        let [good, bad] = [b"good", b"evil"].map(|bytes| ImageKey::of(bytes));
        for runs in 0..3 {
            let attempts = Attempts::open(directory.path()).unwrap();
            assert_eq!((attempts.earlier(&good), attempts.earlier(&bad)), (0, runs));
            attempts.begin([(good, Path::new("a \n.jpg")), (bad, Path::new("b.jpg"))]).unwrap();
            attempts.end([&good]).unwrap();
            // The program ends here.
        }
        let attempts = Attempts::open(directory.path()).unwrap();
        assert_eq!(attempts.earlier(&bad), 3);
        attempts.begin([(bad, Path::new("b.jpg"))]).unwrap();
        attempts.end([&bad]).unwrap();
        attempts.close().unwrap();
        assert_eq!(Attempts::open(directory.path()).unwrap().earlier(&bad), 0);
    }

    #[test]
    fn runs_are_counted_as_far_as_the_number_goes() {
        let directory = tempfile::tempdir().unwrap();
        let key = ImageKey::of(b"evil");
        let text = format!("{} {key} b.jpg\nend\n", u32::MAX);
        fs_err::write(directory.path().join(super::FILE), text).unwrap();
        let attempts = Attempts::open(directory.path()).unwrap();
        attempts.begin([(key, Path::new("b.jpg"))]).unwrap();
        assert_eq!(Attempts::open(directory.path()).unwrap().earlier(&key), u32::MAX);
    }
}
