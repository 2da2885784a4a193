//! The frames of a video or a camera, through an `ffmpeg` that is started here.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The program that decodes.
const FFMPEG: &str = "ffmpeg";
/// Length of the part of a BMP file that has the length of the file.
const HEAD: usize = 14;
/// A frame of more bytes than this is no frame: 100 megapixels of three bytes.
const MOST: usize = 300_000_000;
/// Bytes of ffmpeg's error output that are kept.
const WORDS: u64 = 4096;

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
    words: Option<JoinHandle<String>>,
    next: u64,
    is_over: bool,
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
        let words = std::thread::spawn(move || {
            let (mut errors, mut said) = (errors, Vec::new());
            // Whatever could be read is reported.
            let _ = errors.by_ref().take(WORDS).read_to_end(&mut said);
            let _ = io::copy(&mut errors, &mut io::sink());
            String::from_utf8_lossy(&said).trim().to_owned()
        });
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

    /// The end of the stream, or ffmpeg's error.
    fn end(&mut self) -> Result<Option<Frame>, VideoError> {
        let status = locked(&self.child).wait();
        let said = self.words.take().and_then(|words| words.join().ok()).unwrap_or_default();
        let failed = |said: String| VideoError::Failed {
            path: self.path.clone(),
            frames: self.next,
            said: if said.is_empty() { "it gives no reason".to_owned() } else { said },
        };
        match status {
            Ok(status) if !status.success() => Err(failed(said)),
            Ok(_) if self.next == 0 => Err(failed("it holds no frame".to_owned())),
            Ok(_) => Ok(None),
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

/// Frames as BMP files one after another: each says how long it is, whatever its size.
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
    options.push(format!("fps={rate}:round=up").into());
    options.extend(["-f", "image2pipe", "-c:v", "bmp", "-pix_fmt", "bgr24", "-"].map(Into::into));
    options
}

fn locked(child: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Frames, VideoError, options};

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
