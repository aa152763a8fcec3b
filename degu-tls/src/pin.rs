//! The fingerprint of a public key.

use std::fmt;
use std::str::FromStr;

/// The SHA-256 of a SubjectPublicKeyInfo in DER: a key that is trusted as itself, whoever issued its certificate.
///
/// The text form is that of curl's `--pinnedpubkey` with a slash: `sha256/` and 44 characters of base64. It comes from
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
    /// From the 32 octets of the hash.
    pub const fn from_sha256(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The 32 octets of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The text is no pin: it must be `sha256/` and 44 characters of base64 with padding (RFC 4648 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinError;

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pin is `sha256/` and 44 characters of base64")
    }
}

impl std::error::Error for PinError {}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl FromStr for SpkiPin {
    type Err = PinError;

    /// # Errors
    ///
    /// The text is not `sha256/` and the base64 of 32 octets, in its one canonical form.
    fn from_str(text: &str) -> Result<Self, PinError> {
        let digits = text.strip_prefix("sha256/").and_then(|text| text.strip_suffix('=')).ok_or(PinError)?;
        if digits.len() != 43 {
            return Err(PinError);
        }
        let mut hash = [0; 32];
        let (mut bits, mut held, mut at) = (0u32, 0, 0);
        for digit in digits.bytes() {
            let value = ALPHABET.iter().position(|known| *known == digit).ok_or(PinError)?;
            bits = bits << 6 | value as u32;
            held += 6;
            if held >= 8 {
                held -= 8;
                hash[at] = (bits >> held) as u8;
                at += 1;
                bits &= (1 << held) - 1;
            }
        }
        // 43 digits are 258 bits: the two that are left over must be zero, or one hash would have four texts.
        if bits == 0 { Ok(Self(hash)) } else { Err(PinError) }
    }
}

impl fmt::Display for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256/")?;
        for three in self.0.chunks(3) {
            let bits = three.iter().fold(0, |bits, octet| bits << 8 | u32::from(*octet)) << (8 * (3 - three.len()));
            for digit in 0..4 {
                let character = if digit <= three.len() {
                    char::from(ALPHABET[(bits >> (18 - 6 * digit)) as usize & 63])
                } else {
                    '='
                };
                write!(f, "{character}")?;
            }
        }
        Ok(())
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
            // The same octets with a bit set behind them.
            "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
            // The alphabet of URLs.
            "sha256/47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
            " sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        ] {
            assert_eq!(bad.parse::<SpkiPin>(), Err(PinError), "{bad}");
        }
    }
}
