//! The fingerprint of a public key.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;

/// A pin, which identifies a public key: the SHA-256 of a SubjectPublicKeyInfo in DER. A pinned key is trusted
/// regardless of the CA that issued the certificate.
///
/// The text of a pin is `sha256/` and 44 characters of base64. curl's `--pinnedpubkey` has the same form, but with two
/// slashes. This command prints the base64:
///
/// ```sh
/// openssl x509 -in cert.pem -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64
/// ```
///
/// ```
/// use degu_tls::SpkiPin;
///
/// let pin: SpkiPin = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse()?;
/// assert_eq!(pin.as_bytes()[..4], [0xe3, 0xb0, 0xc4, 0x42]);
/// assert_eq!(pin.to_string(), "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
/// # Ok::<(), degu_tls::pin::PinError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpkiPin([u8; 32]);

impl SpkiPin {
    /// Makes a pin from a SHA-256 hash.
    pub const fn from_sha256(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// Returns the 32 bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The error for a text that is not a pin: `sha256/` and 44 characters of base64 with padding (RFC 4648 §4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PinError;

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pin is `sha256/` and 44 characters of base64")
    }
}

impl std::error::Error for PinError {}

impl fmt::Debug for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SpkiPin {
    type Err = PinError;

    /// # Errors
    ///
    /// [`PinError`] if the text is not `sha256/` and the base64 of 32 bytes in canonical form.
    fn from_str(text: &str) -> Result<Self, PinError> {
        let hash = text.strip_prefix("sha256/").and_then(|digits| STANDARD.decode(digits).ok());
        hash.and_then(|hash| hash.try_into().ok()).map(Self).ok_or(PinError)
    }
}

impl fmt::Display for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for seed in 0..=255u8 {
            let hash: [u8; 32] = std::array::from_fn(|i| seed.wrapping_mul(31).wrapping_add((i * i) as u8));
            let pin = SpkiPin::from_sha256(hash);
            assert_eq!(pin.to_string().parse(), Ok(pin));
            assert_eq!(pin.to_string().len(), 51);
        }
    }

    #[test]
    fn what_is_no_pin() {
        for bad in [
            "",
            "sha256/",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "sha1/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF=",
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUU=",
            // The base64 of the same 32 bytes, but an unused bit after them is set.
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
            // The alphabet of base64url, which has `-` and `_` in place of `+` and `/`.
            "sha256/47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
            " sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        ] {
            assert_eq!(bad.parse::<SpkiPin>(), Err(PinError), "{bad}");
        }
        assert_eq!(format!("{PinError:?}"), PinError.to_string());
    }
}
