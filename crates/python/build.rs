//! Lets the linker leave Python's own symbols open, which macOS asks for.

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
