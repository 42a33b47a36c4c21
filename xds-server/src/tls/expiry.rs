//! When a certificate expires.
//!
//! Of its DER only the way to that date is read (RFC 5280, 4.1): whether the rest
//! is a certificate, rustls has to say.

const SEQUENCE: u8 = 0x30;
/// The version, which a certificate of version 1 leaves out.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What stands in a certificate before its validity: serial number, algorithm and
/// issuer.
const BEFORE_VALIDITY: usize = 3;

/// The end of its validity in seconds of unix time; `None` if it cannot be found.
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    let content = |der| Element::read(der).filter(|read| read.tag == SEQUENCE);
    let signed = content(certificate)?.content;
    let mut rest = content(signed)?.content;
    if Element::read(rest)?.tag == VERSION {
        rest = Element::read(rest)?.rest;
    }
    for _ in 0..BEFORE_VALIDITY {
        rest = Element::read(rest)?.rest;
    }
    let not_before = Element::read(content(rest)?.content)?;
    let Element { tag, content, .. } = Element::read(not_before.rest)?;
    unix_time(tag, std::str::from_utf8(content).ok()?)
}

/// One element of DER (X.690, 8.1), and what stands behind it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let [tag, first, rest @ ..] = der else {
            return None;
        };
        let (length, rest) = match usize::from(*first) {
            short @ 0..0x80 => (short, rest),
            long => {
                let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
                let length = bytes.iter().try_fold(0_usize, |length, byte| {
                    Some(length.checked_mul(0x100)? + usize::from(*byte))
                });
                (length?, rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        Some(Self {
            tag: *tag,
            content,
            rest,
        })
    }
}

/// `YYMMDDHHMMSSZ`, of 1950 to 2049, or `YYYYMMDDHHMMSSZ` (RFC 5280, 4.1.2.5).
fn unix_time(tag: u8, text: &str) -> Option<i64> {
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 } else { 1900 } + year, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let digits = rest.strip_suffix('Z').filter(|digits| digits.len() == 10)?;
    let at = |place: usize| digits.get(place..place + 2)?.parse::<i64>().ok();
    let days = days_from_1970(year, at(0)?, at(2)?);
    Some(((days * 24 + at(4)?) * 60 + at(6)?) * 60 + at(8)?)
}

/// Days from the first of January 1970 to that day of the Gregorian calendar. The
/// year is taken to begin in March, so that a leap day is its last.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    const FROM_YEAR_0: i64 = 719_468;
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - FROM_YEAR_0
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(year: i32, month: u8, day: u8) -> Vec<u8> {
        let mut params = CertificateParams::new(["a".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, month, day);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn certificates_expire_when_they_say() {
        for (year, month, day) in [
            (1970, 1, 1),
            (1999, 12, 31),
            (2000, 2, 29),
            (2026, 3, 1),
            (2049, 12, 31),
            (2050, 1, 1),
            (2100, 2, 28),
            (2100, 3, 1),
            (4096, 1, 1),
        ] {
            let expected = date_time_ymd(year, month, day).unix_timestamp();
            let found = not_after(&certificate(year, month, day));
            assert_eq!(found, Some(expected), "{year}-{month}-{day}");
        }
        assert_eq!(unix_time(UTC_TIME, "261121225016Z"), Some(1_795_301_416));
    }

    #[test]
    fn what_is_no_certificate_has_no_date() {
        let good = certificate(2030, 1, 1);
        for length in 0..60 {
            assert_eq!(not_after(&good[..length]), None);
        }
        let long = [SEQUENCE, 0xff, 0xff, 0xff, 0xff, 0xff];
        for bad in [&b"abc"[..], &[SEQUENCE, 0], &long] {
            assert_eq!(not_after(bad), None);
        }
        for text in [
            "",
            "26112122501Z",
            "261121225016",
            "2611212250aaZ",
            "äöüäöüä",
        ] {
            assert_eq!(unix_time(UTC_TIME, text), None, "{text}");
        }
        // Whatever a date is made of, it is none that makes trouble.
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 0xff;
            let _ = not_after(&bad);
        }
    }
}
