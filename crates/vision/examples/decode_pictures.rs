//! Decodes pictures from standard input, each a length (u32, little-endian) and its bytes, and answers
//! each with a line: how it ended, the microseconds that took, and the most memory of this process so
//! far in kilobytes. `scripts/picture_corpus` feeds it.

use std::io::{Read, Write};
use std::time::Instant;

use facefold_vision::decode::{Limits, decode};

fn main() -> std::io::Result<()> {
    // Decoders that give up are caught and become rejections; their words help no user here.
    std::panic::set_hook(Box::new(|_| {}));
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut length = [0; 4];
    let mut bytes = Vec::new();
    loop {
        match input.read_exact(&mut length) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        bytes.resize(u32::from_le_bytes(length) as usize, 0);
        input.read_exact(&mut bytes)?;
        let start = Instant::now();
        let ended = decode(&bytes, &Limits::default());
        let micros = start.elapsed().as_micros();
        let word = match &ended {
            Ok(picture) => format!("{}x{}", picture.width(), picture.height()),
            Err(rejection) if rejection.detail.contains("gave up") => "caught".to_owned(),
            Err(rejection) => rejection.reason.to_string(),
        };
        drop(ended);
        writeln!(output, "{word} {micros} {}", peak()?)?;
        output.flush()?;
    }
}

/// The most resident memory of this process so far, in kilobytes; 0 where the system does not say.
fn peak() -> std::io::Result<u64> {
    let status =
        fs_err::read_to_string("/proc/self/status").or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(String::new()),
            _ => Err(error),
        })?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    Ok(number.unwrap_or_default())
}
