//! Base64 in its standard alphabet (RFC 4648, section 4): padded, and no bit thrown away.

use super::flaw::Flaw;

/// Appends the bytes of `text` to `out`. After an error `out` may hold a part of them.
pub(super) fn decode(text: &str, out: &mut Vec<u8>) -> Result<(), Flaw> {
    let wrong = || Flaw::new("the text is not base64");
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    if !text.len().is_multiple_of(4) || (text.len() - digits.len()) != (4 - digits.len() % 4) % 4 {
        return Err(wrong());
    }
    out.reserve(text.len() / 4 * 3);
    for chunk in digits.as_bytes().chunks(4) {
        let mut bits = 0;
        for &digit in chunk {
            bits = bits << 6 | sextet(digit).ok_or_else(wrong)?;
        }
        let bytes = (bits << (6 * (4 - chunk.len()))).to_be_bytes();
        let (kept, lost) = bytes[1..].split_at(chunk.len() * 6 / 8);
        if lost.iter().any(|&byte| byte != 0) {
            return Err(wrong());
        }
        out.extend_from_slice(kept);
    }
    Ok(())
}

fn sextet(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}
