//! G.711 (ITU-T): 16-bit samples in 8 bits, on the μ and the A curve.

/// Which curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    Mu,
    A,
}

impl Law {
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Mu => encode_mu(sample),
            Self::A => encode_a(sample),
        }
    }

    pub fn decode(self, byte: u8) -> i16 {
        match self {
            Self::Mu => MU[byte as usize],
            Self::A => A[byte as usize],
        }
    }

    /// What silence is.
    pub const fn silence(self) -> u8 {
        match self {
            Self::Mu => 0xff,
            Self::A => 0xd5,
        }
    }

    /// What was said in this law, in the other one. In place.
    pub fn translate(self, to: Self, bytes: &mut [u8]) {
        let table = match (self, to) {
            (Self::Mu, Self::A) => &MU_TO_A,
            (Self::A, Self::Mu) => &A_TO_MU,
            (Self::Mu, Self::Mu) | (Self::A, Self::A) => return,
        };
        for byte in bytes {
            *byte = table[*byte as usize];
        }
    }

    pub fn encode_all(self, samples: &[i16]) -> Vec<u8> {
        samples.iter().map(|&sample| self.encode(sample)).collect()
    }
}

const fn encode_mu(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs();
    let magnitude = if magnitude > CLIP { CLIP } else { magnitude } + BIAS;
    let exponent = 7 - (magnitude >> 7).leading_zeros().saturating_sub(8) as u16;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent as u8) << 4 | mantissa as u8)
}

const fn decode_mu(byte: u8) -> i16 {
    let byte = !byte;
    let exponent = (byte >> 4) & 7;
    let magnitude = ((((byte & 0x0f) as i16) << 3) + BIAS as i16) << exponent;
    let magnitude = magnitude - BIAS as i16;
    if byte & 0x80 != 0 { -magnitude } else { magnitude }
}

const fn encode_a(sample: i16) -> u8 {
    let sign: u8 = if sample < 0 { 0 } else { 0x80 };
    // The curve is defined on 13 bits; below zero it is mirrored one step down.
    let magnitude = if sample < 0 { !sample } else { sample } as u16 >> 3;
    let code = if magnitude < 32 {
        (magnitude >> 1) as u8
    } else {
        let exponent = 11 - magnitude.leading_zeros() as u16;
        ((exponent as u8) << 4) | ((magnitude >> exponent) & 0x0f) as u8
    };
    (sign | code) ^ 0x55
}

const fn decode_a(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let exponent = (byte >> 4) & 7;
    let mantissa = (byte & 0x0f) as i16;
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    if byte & 0x80 != 0 { magnitude } else { -magnitude }
}

const fn table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match law {
            Law::Mu => decode_mu(byte as u8),
            Law::A => decode_a(byte as u8),
        };
        byte += 1;
    }
    table
}

const fn between(from: Law) -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match from {
            Law::Mu => encode_a(decode_mu(byte as u8)),
            Law::A => encode_mu(decode_a(byte as u8)),
        };
        byte += 1;
    }
    table
}

static MU_TO_A: [u8; 256] = between(Law::Mu);
static A_TO_MU: [u8; 256] = between(Law::A);
static MU: [i16; 256] = table(Law::Mu);
static A: [i16; 256] = table(Law::A);
const BIAS: u16 = 0x84;
const CLIP: u16 = 32_635;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(Law::Mu.encode(0), 0xff);
        assert_eq!(Law::Mu.decode(0xff), 0);
        assert_eq!(Law::Mu.decode(0x00), -32_124);
        assert_eq!(Law::Mu.decode(0x80), 32_124);
        assert_eq!(Law::A.encode(0), 0xd5);
        assert_eq!(Law::A.decode(0xd5), 8);
        assert_eq!(Law::A.decode(0x2a), -32_256);
        assert_eq!(Law::A.decode(0xaa), 32_256);
    }

    #[test]
    fn one_law_is_translated_into_the_other() {
        for (from, to) in [(Law::Mu, Law::A), (Law::A, Law::Mu)] {
            let mut bytes: Vec<u8> = (0..=255).collect();
            from.translate(to, &mut bytes);
            for (byte, &translated) in (0..=255u8).zip(&bytes) {
                let (before, after) = (i32::from(from.decode(byte)), i32::from(to.decode(translated)));
                assert!((before - after).abs() <= 16 + before.abs() / 16, "{from:?} {byte:#x}: {before} {after}");
            }
            let same = bytes.clone();
            to.translate(to, &mut bytes);
            assert_eq!(bytes, same);
        }
    }

    #[test]
    fn every_code_is_its_own_again() {
        for law in [Law::Mu, Law::A] {
            for byte in 0..=255u8 {
                let again = law.encode(law.decode(byte));
                // μ-law has two zeros.
                assert!(again == byte || law.decode(again) == law.decode(byte), "{law:?} {byte:#x} {again:#x}");
            }
        }
    }

    #[test]
    fn the_error_grows_with_the_level_alone() {
        for law in [Law::Mu, Law::A] {
            for sample in (i16::MIN..=i16::MAX).step_by(7) {
                let error = (i32::from(law.decode(law.encode(sample))) - i32::from(sample)).abs();
                assert!(error <= 16 + i32::from(sample.unsigned_abs()) / 16 + 12, "{law:?} {sample}: {error}");
            }
        }
    }
}
