//! Decodes a picture in a process of its own: what ends that one does not end this one.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use facefold_core::pictures;
use facefold_vision::decode::{Limits, decode};

/// The largest picture that is decoded takes seconds.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A command that calls [`decode_input`] on its standard input and then ends: your own program with an
/// argument that makes it do so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeProbe {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl DecodeProbe {
    /// Whether a picture can be decoded or rejected without an end of the program. Where no process
    /// can be started, nothing speaks against it.
    ///
    /// # Errors
    /// How the process ended, as a sentence.
    pub fn decodes(&self, picture: &[u8]) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(mut child) = command.spawn() else { return Ok(()) };
        if let Some(mut stdin) = child.stdin.take() {
            // A child that ended does not read: its end says so below.
            let _ = stdin.write_all(picture);
        }
        let start = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) if !status.success() => {
                    return Err(format!("decoding it ends the program: {status}"));
                }
                Ok(Some(_)) | Err(_) => return Ok(()),
                Ok(None) if start.elapsed() > TIMEOUT => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("decoding it does not end in {} s", TIMEOUT.as_secs()));
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// The other side of a [`DecodeProbe`]: decodes the picture that comes in, and forgets it.
///
/// # Errors
/// If the input cannot be read.
pub fn decode_input(input: impl Read) -> io::Result<()> {
    let mut picture = Vec::new();
    input.take(pictures::MOST_BYTES).read_to_end(&mut picture)?;
    // A rejection is as good as a picture here.
    let _ = decode(&picture, &Limits::default());
    Ok(())
}
