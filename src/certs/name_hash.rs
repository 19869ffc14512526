//! OpenSSL's hash of a certificate's subject, by which it finds certificates in a folder.
//!
//! The rule is that of `X509_NAME_hash` since OpenSSL 1.0.0: the name is brought into a canonical form (all text as
//! UTF-8, ASCII letters in lower case, white space trimmed and collapsed), each RDN is encoded anew, the header of the
//! outer SEQUENCE is left out, and the hash is the first four bytes of the SHA-1 of that, little endian.

use aws_lc_rs::digest;
use x509_parser::x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 12;
const PRINTABLE_STRING: u8 = 19;
const T61_STRING: u8 = 20;
const IA5_STRING: u8 = 22;
const VISIBLE_STRING: u8 = 26;
const UNIVERSAL_STRING: u8 = 28;
const BMP_STRING: u8 = 30;

/// Eight hexadecimal digits, as `openssl x509 -hash` prints them.
pub(super) fn name_hash(name: &X509Name<'_>) -> String {
    let canonical: Vec<u8> = name.iter_rdn().flat_map(rdn).collect();
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &canonical);
    let first: String = sha1.as_ref()[..4].iter().rev().map(|b| format!("{b:02x}")).collect();
    first
}

fn rdn(rdn: &RelativeDistinguishedName<'_>) -> Vec<u8> {
    let mut attributes: Vec<Vec<u8>> = rdn.iter().map(attribute).collect();
    // DER wants the elements of a SET OF in the order of their encodings.
    attributes.sort();
    tlv(SET, &attributes.concat())
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    let value = attribute.attr_value();
    // A tag that does not fit in a byte is no text, and no name has one.
    let tag = u8::try_from(value.tag().0).unwrap_or(u8::MAX);
    let value = match utf8(tag, value.data) {
        Some(text) => tlv(UTF8_STRING, &canonical_text(&text)),
        None => tlv(tag, value.data),
    };
    tlv(SEQUENCE, &[tlv(OBJECT_IDENTIFIER, attribute.attr_type().as_bytes()), value].concat())
}

/// The text as UTF-8; none for what OpenSSL compares as it is (NumericString, and all that is no text).
fn utf8(tag: u8, data: &[u8]) -> Option<Vec<u8>> {
    let text: String = match tag {
        UTF8_STRING => return Some(data.to_vec()),
        // OpenSSL takes T61 for Latin-1.
        PRINTABLE_STRING | T61_STRING | IA5_STRING | VISIBLE_STRING => data.iter().map(|b| char::from(*b)).collect(),
        BMP_STRING => data
            .chunks_exact(2)
            .map(|c| char::from_u32(u32::from_be_bytes([0, 0, c[0], c[1]])))
            .collect::<Option<_>>()?,
        UNIVERSAL_STRING => data
            .chunks_exact(4)
            .map(|c| char::from_u32(u32::from_be_bytes([c[0], c[1], c[2], c[3]])))
            .collect::<Option<_>>()?,
        _ => return None,
    };
    Some(text.into_bytes())
}

fn canonical_text(text: &[u8]) -> Vec<u8> {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r');
    let words: Vec<Vec<u8>> =
        text.split(is_space).filter(|word| !word.is_empty()).map(<[u8]>::to_ascii_lowercase).collect();
    words.join(&b' ')
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    match content.len() {
        short @ 0..128 => out.push(short as u8),
        _ => {
            let digits = &length[length.iter().take_while(|b| **b == 0).count()..];
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_lower_cased_trimmed_and_collapsed_but_only_in_ascii() {
        assert_eq!(canonical_text("  A  b\t\r\nÀC ".as_bytes()), "a b Àc".as_bytes());
        assert_eq!(canonical_text(b"   "), b"");
    }

    #[test]
    fn other_string_kinds_become_utf8() {
        assert_eq!(utf8(T61_STRING, &[0xe9]), Some("é".as_bytes().to_vec()));
        assert_eq!(utf8(BMP_STRING, &[0x20, 0xac]), Some("€".as_bytes().to_vec()));
        assert_eq!(utf8(UNIVERSAL_STRING, &[0, 1, 0xf6, 0]), Some("😀".as_bytes().to_vec()));
        assert_eq!(utf8(18, b"12"), None);
    }

    #[test]
    fn lengths_are_in_the_shortest_form() {
        assert_eq!(tlv(SET, &[7; 127])[..2], [SET, 127]);
        assert_eq!(tlv(SET, &[7; 128])[..3], [SET, 0x81, 128]);
        assert_eq!(tlv(SET, &[7; 300])[..4], [SET, 0x82, 1, 44]);
    }
}
