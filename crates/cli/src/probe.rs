//! Decodes a picture in a process of its own: what ends that one does not end this one.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use facefold_vision::decode::{Limits, decode};

/// The hidden command that [`decodes`] runs.
pub const COMMAND: &str = "decode-stdin";

/// The largest picture that is decoded takes seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether a picture can be decoded or rejected without an end of the program. Where no process can
/// be started, nothing speaks against it.
///
/// # Errors
/// How the process ended, in words.
pub fn decodes(picture: &[u8]) -> Result<(), String> {
    let started = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn()
    });
    let Ok(mut child) = started else { return Ok(()) };
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
            Ok(None) if start.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("decoding it does not end in {} s", PATIENCE.as_secs()));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// The other side: decodes what comes on stdin, and forgets it.
///
/// # Errors
/// If stdin cannot be read.
pub fn run() -> std::io::Result<()> {
    let mut picture = Vec::new();
    std::io::stdin().lock().read_to_end(&mut picture)?;
    // A rejection is as good as a picture here.
    let _ = decode(&picture, &Limits::default());
    Ok(())
}
