//! One target under libFuzzer: `scripts/fuzz` builds and runs it.
//!
//! libFuzzer owns the command line, so the target is named by `FACEFOLD_FUZZ_TARGET`. Its seeds are
//! written to the folder `FACEFOLD_FUZZ_SEEDS`, where that is given.

#![no_main]
// libFuzzer writes there too.
#![allow(clippy::print_stderr)]

use std::sync::OnceLock;

use facefold_fuzz::{Target, target};

static TARGET: OnceLock<&Target> = OnceLock::new();

fn init() {
    let name = std::env::var("FACEFOLD_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = target(&name) else {
        let names: Vec<&str> = facefold_fuzz::TARGETS.iter().map(|target| target.name).collect();
        eprintln!("FACEFOLD_FUZZ_TARGET: expected one of {}, found `{name}`", names.join(", "));
        std::process::exit(2);
    };
    if let Some(folder) = std::env::var_os("FACEFOLD_FUZZ_SEEDS") {
        target.write_seeds(folder.as_ref());
    }
    // Decoders that give up are caught on purpose: libFuzzer must not end at them.
    facefold_fuzz::remember_panics();
    let _ = TARGET.set(target);
}

libfuzzer_sys::fuzz_target!(init: init(), |bytes: &[u8]| {
    if let Some(target) = TARGET.get()
        && let Err(message) = target.try_run(bytes)
    {
        eprintln!("{}: {message}", target.name);
        std::process::abort();
    }
});
