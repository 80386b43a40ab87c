//! Verifiers of a user's password as text, to be sealed.

use callbox_model::Verifiers;

/// Hexadecimal digits, one digest behind the other.
pub fn write(verifiers: &Verifiers) -> String {
    let bytes = verifiers.md5.iter().chain(&verifiers.sha256).chain(&verifiers.sha512_256);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// None: it is no such text.
pub fn read(text: &str) -> Option<Verifiers> {
    let bytes: Vec<u8> = (0..text.len() / 2)
        .map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok())
        .collect::<Option<_>>()?;
    let (md5, rest) = bytes.split_first_chunk()?;
    let (sha256, rest) = rest.split_first_chunk()?;
    Some(Verifiers { md5: *md5, sha256: *sha256, sha512_256: rest.try_into().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_read_back() {
        let verifiers = Verifiers { md5: [1; 16], sha256: [0xfe; 32], sha512_256: [3; 32] };
        let text = write(&verifiers);
        assert_eq!(read(&text), Some(verifiers));
        for wrong in ["", "zz", &text[2..], &format!("{text}00")] {
            assert_eq!(read(wrong), None);
        }
    }
}
