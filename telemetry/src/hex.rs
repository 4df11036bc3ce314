//! Ids as text, in lower-case hexadecimal digits: the form that W3C Trace Context and ECS share.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes the digits of `bytes` to `text`, which has room for two for each of them.
pub(crate) fn write(bytes: &[u8], text: &mut [u8]) {
    for (byte, digits) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 0xf)];
    }
}

/// The digits of `bytes`.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut text = vec![0; 2 * bytes.len()];
    write(bytes, &mut text);
    // Digits are ASCII.
    String::from_utf8(text).unwrap_or_default()
}

/// The bytes of `text`, if it is two lower-case digits for each of them and nothing else.
pub(crate) fn read<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(bytes)
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut text = [0; 512];
        let expected: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        write(&bytes, &mut text);
        assert_eq!(text, expected.as_bytes());
        assert_eq!(read::<256>(&text).map(Vec::from), Some(bytes));
        for bad in ["", "0", "000", "0A", "g0", "+1", "0 ", "é"] {
            assert_eq!(read::<1>(bad.as_bytes()), None, "{bad}");
        }
    }
}
