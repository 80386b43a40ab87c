//! Which country a number is in, as far as its first digits say: what toll fraud is counted by.

/// The calling code of an E.164 number (`+`, and digits), and what stands in for it inside +1:
/// the area code, where that is another country than the United States or Canada. None: it is
/// no such number.
pub fn calling_code(number: &str) -> Option<&str> {
    let digits = number.strip_prefix('+')?;
    if digits.len() < 4 || digits.len() > 15 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let length = match digits.as_bytes() {
        [b'1', ..] if CARIBBEAN.contains(&digits.get(1..4)?) => 4,
        [b'1' | b'7', ..] => 1,
        [b'0', ..] => return None,
        _ if TWO_DIGITS.contains(&&digits[..2]) => 2,
        _ => 3,
    };
    Some(&digits[..length])
}

/// ITU-T E.164, list of assigned codes: those of two digits. All others but 1 and 7 have three.
const TWO_DIGITS: &[&str] = &[
    "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "51",
    "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84", "86", "90",
    "91", "92", "93", "94", "95", "98",
];

/// Area codes of +1 outside of the United States and Canada: calls there look like home, and
/// cost like abroad.
const CARIBBEAN: &[&str] = &[
    "242", "246", "264", "268", "284", "345", "441", "473", "649", "658", "664", "721", "758", "767", "784", "809",
    "829", "849", "868", "869", "876",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_by_country() {
        for (number, code) in [
            ("+4930123456", Some("49")),
            ("+12125550123", Some("1")),
            ("+18765550123", Some("1876")),
            ("+74951234567", Some("7")),
            ("+35312345678", Some("353")),
            ("+882123456789", Some("882")),
            ("+0123456", None),
            ("4930123456", None),
            ("+49", None),
            ("+49x0123456", None),
            ("+1234567890123456", None),
            ("", None),
        ] {
            assert_eq!(calling_code(number), code, "{number}");
        }
    }
}
