//! The devices that candle was built for, by the names that people type.

use candle_core::Device;

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A name of no device.
    #[error("expected cpu, cuda:0 (or another number) or metal, found `{0}`")]
    Unknown(String),
    /// The program was built without it.
    #[error(
        "`{device}` needs a program built with it: run `cargo build --release --features \
         {feature}`, or use cpu"
    )]
    NotBuilt {
        /// As typed.
        device: String,
        /// The cargo feature.
        feature: &'static str,
    },
    /// The driver or the hardware does not respond.
    #[error("cannot use the device `{device}`: {source}; use cpu, or repair the driver")]
    Unavailable {
        /// As typed.
        device: String,
        /// candle's error.
        source: candle_core::Error,
    },
}

/// Opens the device named `cpu`, `cuda` (the first), `cuda:N` or `metal`.
///
/// # Errors
/// An unknown name, a device that this program was built without, or one that does not respond.
pub fn open_device(text: &str) -> Result<Device, DeviceError> {
    let unknown = || DeviceError::Unknown(text.to_owned());
    let (kind, number) = match text.split_once(':') {
        Some((kind, number)) => (kind, number.parse().map_err(|_| unknown())?),
        None => (text, 0),
    };
    let (built, feature, open): (_, _, fn(usize) -> candle_core::Result<Device>) = match kind {
        "cpu" if kind == text => return Ok(Device::Cpu),
        "cuda" => (candle_core::utils::cuda_is_available(), "cuda", Device::new_cuda),
        "metal" => (candle_core::utils::metal_is_available(), "metal", Device::new_metal),
        _ => return Err(unknown()),
    };
    if !built {
        return Err(DeviceError::NotBuilt { device: text.to_owned(), feature });
    }
    open(number).map_err(|source| DeviceError::Unavailable { device: text.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::open_device;

    #[test]
    fn the_cpu_is_always_there() {
        assert!(open_device("cpu").unwrap().is_cpu());
    }

    #[test]
    fn an_unknown_device_lists_the_choices() {
        for text in ["gpu", "cuda:x", "cpu:1", "cuda:-1", ""] {
            let message = open_device(text).unwrap_err().to_string();
            assert!(message.contains("cuda:0") && message.contains(text), "{message}");
        }
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_device_that_was_not_built_names_its_feature() {
        let message = open_device("cuda:1").unwrap_err().to_string();
        assert!(message.contains("`cuda:1`") && message.contains("--features cuda"), "{message}");
    }
}
