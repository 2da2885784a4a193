//! The frames of a video or a camera, through an `ffmpeg` that is started here.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The program that decodes.
const FFMPEG: &str = "ffmpeg";
/// Length of the part of a BMP file that has the length of the file.
const HEAD: usize = 14;
/// A frame of more bytes than this is no frame: 100 megapixels of three bytes.
const MOST: usize = 300_000_000;
/// Bytes of ffmpeg's error output that are kept.
const WORDS: usize = 4096;

/// Parts of ffmpeg's errors about films that are whole: about what is not read, and about films that
/// were cut out of longer ones, whose first frames refer to earlier ones.
const HARMLESS: [&str; 17] = [
    "non-existing PPS",
    "non-existing SPS",
    "PPS id out of range",
    "decode_slice_header error",
    "no frame!",
    "Invalid frame dimensions 0x0",
    "Error submitting packet to decoder",
    "Error while decoding stream",
    "Referenced QT chapter track not found",
    "unable to decode APP fields",
    "Application provided invalid",
    "co located POCs unavailable",
    "mmco: unref short failure",
    "reference picture missing during reorder",
    "Missing reference picture",
    "Could not find ref with POC",
    "Last message repeated",
];
/// How the names of decoders of sound begin, of which ffmpeg may report errors though no sound is read.
const OF_SOUND: [&str; 25] = [
    "aac", "ac3", "adpcm", "alac", "amr", "ape", "atrac", "cook", "dca", "eac3", "flac", "gsm",
    "mlp", "mp1", "mp2", "mp3", "opus", "pcm_", "sipr", "speex", "truehd", "tta", "vorbis",
    "wavpack", "wma",
];

/// Why there are no frames.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// ffmpeg is not there.
    #[error(
        "`ffmpeg` was not found: videos and cameras are read through it; install it (Debian: \
         `apt-get install ffmpeg`) or put it on the PATH"
    )]
    Missing,
    /// ffmpeg is there but does not start.
    #[error("cannot start `ffmpeg`: {0}")]
    Start(io::Error),
    /// There is no such file or device.
    #[error("cannot read the video `{}`: {source}", path.display())]
    Unreadable {
        /// The file or device.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// ffmpeg gave up.
    #[error("ffmpeg cannot read `{}` ({frames} frames were read): {said}", path.display())]
    Failed {
        /// The file or device.
        path: PathBuf,
        /// Frames read until then.
        frames: u64,
        /// Its last words.
        said: String,
    },
    /// ffmpeg read what it could, and reported an error.
    #[error(
        "`{}` could be read only in part ({frames} frames were read): a part of it is missing or \
         damaged; the first error of ffmpeg: {said}",
        path.display()
    )]
    Partial {
        /// The file.
        path: PathBuf,
        /// Frames that were read.
        frames: u64,
        /// Its first error.
        said: String,
    },
    /// ffmpeg sent something else than frames.
    #[error("ffmpeg sent no frame where one was expected: {0}")]
    Garbled(String),
}

/// A frame of a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// From 0, of those that are looked at: its time is this over the rate.
    pub number: u64,
    /// The picture, as the bytes of a BMP file.
    pub picture: Vec<u8>,
}

/// Frames at a steady rate, one after another.
#[derive(Debug)]
pub struct Frames {
    path: PathBuf,
    output: BufReader<ChildStdout>,
    child: Arc<Mutex<Child>>,
    words: Option<JoinHandle<Words>>,
    next: u64,
    is_over: bool,
}

/// What ffmpeg wrote about errors.
#[derive(Debug, Default)]
struct Words {
    /// The beginning of it.
    said: String,
    /// The first error about a film that is not whole.
    damage: Option<String>,
}

/// Ends the reading of frames from another thread.
#[derive(Debug, Clone)]
pub struct FrameStopper(Arc<Mutex<Child>>);

impl FrameStopper {
    /// Ends ffmpeg; frames that it sent already can still be read.
    pub fn stop(&self) {
        // One that has ended already is stopped.
        let _ = locked(&self.0).kill();
    }
}

/// Whether a path is a camera (or another device), which sends frames whether they are read or not.
#[must_use]
pub fn is_device(path: &Path) -> bool {
    path.starts_with("/dev")
}

impl Frames {
    /// Starts ffmpeg on a file, or on a camera such as `/dev/video0`, for `rate` frames a second.
    ///
    /// # Errors
    /// [`VideoError::Unreadable`] for a file that is not there, [`VideoError::Missing`] without
    /// ffmpeg. Errors of ffmpeg are reported when its frames are read.
    pub fn open(path: &Path, rate: f64) -> Result<Self, VideoError> {
        let unreadable = |source| VideoError::Unreadable { path: path.to_owned(), source };
        let metadata =
            fs_err::metadata(path).map_err(|error| unreadable(io::Error::from(error.kind())))?;
        if metadata.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        let mut child = Command::new(FFMPEG)
            .args(options(path, rate))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => VideoError::Missing,
                _ => VideoError::Start(error),
            })?;
        let piped = || VideoError::Start(io::ErrorKind::BrokenPipe.into());
        let output = child.stdout.take().ok_or_else(piped)?;
        let errors = child.stderr.take().ok_or_else(piped)?;
        // Read concurrently: a full pipe would block ffmpeg.
        let words = std::thread::spawn(move || listen(errors));
        Ok(Self {
            path: path.to_owned(),
            output: BufReader::with_capacity(1 << 20, output),
            child: Arc::new(Mutex::new(child)),
            words: Some(words),
            next: 0,
            is_over: false,
        })
    }

    /// What ends this from another thread.
    #[must_use]
    pub fn stopper(&self) -> FrameStopper {
        FrameStopper(Arc::clone(&self.child))
    }

    fn read(&mut self) -> Result<Option<Frame>, VideoError> {
        let mut picture = vec![0; HEAD];
        if !self.fill(&mut picture, 0)? {
            return self.end();
        }
        let length = u32::from_le_bytes([picture[2], picture[3], picture[4], picture[5]]) as usize;
        if &picture[..2] != b"BM" || !(HEAD..=MOST).contains(&length) {
            let start = String::from_utf8_lossy(&picture).into_owned();
            return Err(VideoError::Garbled(format!("it begins with {start:?}")));
        }
        picture.resize(length, 0);
        if !self.fill(&mut picture, HEAD)? {
            // Cut off in the middle of a frame.
            return self.end();
        }
        let number = self.next;
        self.next += 1;
        Ok(Some(Frame { number, picture }))
    }

    /// Fills a buffer from an offset on; not where the stream ends before.
    fn fill(&mut self, buffer: &mut [u8], from: usize) -> Result<bool, VideoError> {
        match self.output.read_exact(&mut buffer[from..]) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(VideoError::Garbled(error.to_string())),
        }
    }

    /// The end of the stream, or ffmpeg's error. A camera's single bad frames are none.
    fn end(&mut self) -> Result<Option<Frame>, VideoError> {
        let status = locked(&self.child).wait();
        let Words { said, damage } =
            self.words.take().and_then(|words| words.join().ok()).unwrap_or_default();
        let failed = |said: String| VideoError::Failed {
            path: self.path.clone(),
            frames: self.next,
            said: if said.is_empty() { "it gives no reason".to_owned() } else { said },
        };
        match status {
            Ok(status) if !status.success() => Err(failed(said)),
            Ok(_) if self.next == 0 => Err(failed("it holds no frame".to_owned())),
            Ok(_) => match damage.filter(|_| !is_device(&self.path)) {
                Some(said) => {
                    Err(VideoError::Partial { path: self.path.clone(), frames: self.next, said })
                }
                None => Ok(None),
            },
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let read = self.read();
        self.is_over = !matches!(read, Ok(Some(_)));
        read.transpose()
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        let mut child = locked(&self.child);
        // Nothing is to be done about a child that has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Reads ffmpeg's errors to their end.
fn listen(errors: ChildStderr) -> Words {
    let (mut errors, mut line) = (BufReader::new(errors), Vec::new());
    let (mut said, mut first) = (String::new(), None);
    // Whatever could be read is reported.
    while errors.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line);
        if said.len() < WORDS {
            said.push_str(&text);
        }
        first = first.or_else(|| damage(text.trim()));
        line.clear();
    }
    Words { said: said.trim().to_owned(), damage: first }
}

/// A line of ffmpeg's errors as far as it says that a film is not whole: without the address after the
/// name of what reports it, as in `[h264 @ 0x55d0c8] error while decoding MB 0 5`. Of several names the last,
/// as in `[vist#0:0/h264 @ 0x55d0c8] [dec:h264 @ 0x55d0d0] …`.
fn damage(line: &str) -> Option<String> {
    let (mut from, mut said) = ("", line);
    while let Some((name, rest)) = said.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        from = name.split(" @ ").next().unwrap_or(name);
        said = rest;
    }
    let from = from.strip_prefix("dec:").unwrap_or(from);
    let is_harmless = said.is_empty()
        || HARMLESS.iter().any(|part| said.contains(part))
        || OF_SOUND.iter().any(|start| from.starts_with(start));
    // `NULL` is a parser without a name.
    let from = if matches!(from, "" | "NULL") { String::new() } else { format!("{from}: ") };
    (!is_harmless).then(|| format!("{from}{said}"))
}

/// Frames as BMP files one after another: each says how long it is, whatever its size. Where a film's
/// pixels are not square, its frames are stretched until they are, fourfold at most.
fn options(path: &Path, rate: f64) -> Vec<std::ffi::OsString> {
    let mut options: Vec<std::ffi::OsString> =
        ["-nostdin", "-hide_banner", "-loglevel", "error"].map(Into::into).to_vec();
    if is_device(path) {
        options.extend(["-f", "v4l2", "-i"].map(Into::into));
        options.push(path.into());
    } else {
        // A play list must not make it fetch anything from elsewhere.
        options.extend(["-protocol_whitelist", "file,crypto", "-i"].map(Into::into));
        let mut name = std::ffi::OsString::from("file:");
        name.push(path);
        options.push(name);
    }
    options.extend(["-map", "0:v:0", "-vf"].map(Into::into));
    // Upwards: the frame at a time is the last one before it, and a single one is not lost.
    let square = r"scale=iw*clip(sar\,1\,4):ih/clip(sar\,0.25\,1)";
    options.push(format!("fps={rate}:round=up,{square}").into());
    options.extend(["-f", "image2pipe", "-c:v", "bmp", "-pix_fmt", "bgr24", "-"].map(Into::into));
    options
}

fn locked(child: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use facefold_testing::{Need, skip};

    use super::{Frames, VideoError, damage, options};

    /// A film of two seconds and a sound, made by ffmpeg; none where that is not there.
    fn film(directory: &Path, name: &str, how: &[&str]) -> Option<PathBuf> {
        let path = directory.join(name);
        let made = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i"])
            .args(["testsrc=size=160x120:rate=10:duration=2", "-f", "lavfi", "-i"])
            .arg("sine=frequency=440:duration=3")
            .args(["-c:v", "mpeg4", "-q:v", "2"])
            .args(how)
            .arg(&path)
            .stdin(Stdio::null())
            .status();
        let Ok(status) = made else {
            skip(Need::Ffmpeg);
            return None;
        };
        assert!(status.success());
        Some(path)
    }

    /// The sizes of all frames, and how they ended.
    fn read(path: &Path) -> (Vec<(u32, u32)>, Option<VideoError>) {
        let (mut sizes, mut end) = (Vec::new(), None);
        for frame in Frames::open(path, 5.0).unwrap() {
            match frame {
                Ok(frame) => {
                    let picture = image::load_from_memory(&frame.picture).unwrap();
                    sizes.push((picture.width(), picture.height()));
                }
                Err(error) => end = Some(error),
            }
        }
        (sizes, end)
    }

    #[test]
    fn a_film_that_ends_early_or_is_damaged_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let Some(path) = film(directory.path(), "whole.mkv", &[]) else { return };
        let (whole, end) = read(&path);
        // The sound is longer, which is no damage.
        assert!(whole.len() >= 10 && end.is_none(), "{whole:?}, {end:?}");
        let bytes = fs_err::read(&path).unwrap();
        let cut = directory.path().join("cut.mkv");
        fs_err::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        let (half, end) = read(&cut);
        let said = end.expect("an error").to_string();
        assert!((1..whole.len()).contains(&half.len()), "{half:?}");
        assert!(said.contains("cut.mkv` could be read only in part"), "{said}");
        assert!(said.ends_with(": File ended prematurely"), "{said}");

        let mut noisy = bytes;
        let middle = noisy.len() / 3;
        noisy[middle..].iter_mut().step_by(53).for_each(|byte| *byte ^= 0x5a);
        let damaged = directory.path().join("damaged.mkv");
        fs_err::write(&damaged, &noisy).unwrap();
        let (_, end) = read(&damaged);
        assert!(matches!(end, Some(VideoError::Partial { .. })), "{end:?}");
    }

    #[test]
    fn pixels_that_are_not_square_are_stretched() {
        let directory = tempfile::tempdir().unwrap();
        for (sar, size) in [
            ("1", (160, 120)),
            ("0", (160, 120)),
            ("4/3", (213, 120)),
            ("3/4", (160, 160)),
            ("100", (640, 120)),
        ] {
            let name = format!("{}.mkv", sar.replace('/', "-"));
            let filter = format!("setsar={sar}");
            let Some(path) = film(directory.path(), &name, &["-vf", &filter, "-an"]) else {
                return;
            };
            let (sizes, end) = read(&path);
            assert!(end.is_none() && sizes.iter().all(|found| *found == size), "{sar}: {sizes:?}");
        }
    }

    #[test]
    fn errors_of_whole_films_are_no_damage() {
        for line in [
            "",
            "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55d0c8] Referenced QT chapter track not found",
            "[mjpeg @ 0x55d0c8] unable to decode APP fields: Invalid data found",
            "[h264 @ 0x55d0c8] co located POCs unavailable",
            "[aac @ 0x55d0c8] Input buffer exhausted before END element found",
            "    Last message repeated 3 times",
        ] {
            assert_eq!(damage(line), None, "{line}");
        }
        for (line, said) in [
            (
                "[h264 @ 0x55d0c8] error while decoding MB 0 5, bytestream -5",
                "h264: error while decoding MB 0 5, bytestream -5",
            ),
            (
                "[matroska,webm @ 0x55d0c8] File ended prematurely",
                "matroska,webm: File ended prematurely",
            ),
            ("film.mp4: Invalid data found", "film.mp4: Invalid data found"),
            ("[NULL @ 0x55d0c8] Invalid NAL unit size", "Invalid NAL unit size"),
        ] {
            assert_eq!(damage(line).as_deref(), Some(said));
        }
    }

    fn line(path: &str, rate: f64) -> String {
        let words = options(Path::new(path), rate);
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn cameras_use_video4linux_and_files_are_opened_as_files() {
        assert!(line("/dev/video0", 5.0).contains("-f v4l2 -i /dev/video0"));
        let file = line("holiday, 1.mp4", 2.5);
        assert!(
            file.contains("-i file:holiday, 1.mp4") && file.contains("fps=2.5:round=up"),
            "{file}"
        );
        assert!(file.contains("-protocol_whitelist file,crypto -i"), "{file}");
    }

    #[test]
    fn missing_inputs_are_reported_before_ffmpeg_starts() {
        let error = Frames::open(Path::new("no such film.mp4"), 5.0).unwrap_err();
        assert!(matches!(error, VideoError::Unreadable { .. }), "{error}");
        assert!(error.to_string().contains("no such film.mp4"), "{error}");
    }
}
