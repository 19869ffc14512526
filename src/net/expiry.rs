//! Certificates that end soon: the log says so ahead of time.

use std::collections::HashMap;

use crate::certs::Certificate;
use crate::certs::x509::date;

/// Days before its end when the log warns of a certificate, once each.
pub const WARN_DAYS: [i64; 3] = [30, 7, 1];

/// A day, in seconds.
pub(super) const DAY: i64 = 86_400;

/// Most certificates of which it is remembered what was said; then all is forgotten, and may be said again.
const REMEMBERED_MAX: usize = 65_536;

/// What was said of certificates: by serial number, how many of the days of [`WARN_DAYS`], and the end itself.
#[derive(Debug, Default)]
pub(super) struct Expiry(HashMap<String, usize>);

impl Expiry {
    /// Warns of a certificate if one of the days has come since the last time. `now` is in Unix seconds.
    pub(super) fn look(&mut self, what: &str, certificate: &Certificate, now: i64) {
        if let Some(line) = self.warning(what, certificate, now) {
            log::warn!("{line}");
        }
    }

    fn warning(&mut self, what: &str, certificate: &Certificate, now: i64) -> Option<String> {
        let left = certificate.not_after().saturating_sub(now);
        let reached = WARN_DAYS.iter().filter(|days| left <= **days * DAY).count() + usize::from(left < 0);
        if reached == 0 {
            return None;
        }
        if self.0.len() >= REMEMBERED_MAX {
            self.0.clear();
        }
        let told = self.0.entry(certificate.serial().to_owned()).or_default();
        if std::mem::replace(told, reached) >= reached {
            return None;
        }
        let (serial, end) = (certificate.serial(), date(certificate.not_after()));
        Some(if left < 0 {
            format!("{what}, {serial}, has expired on {end}: there will be no new links with it")
        } else {
            format!("{what}, {serial}, expires on {end}, in {} days: have it renewed", left / DAY)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::mint;

    #[test]
    fn each_day_is_told_once_and_the_end_as_well() {
        let certificate = mint::self_signed("a").unwrap().certificate;
        let (mut expiry, end) = (Expiry::default(), certificate.not_after());
        let mut told = |left: i64| expiry.warning("a test's certificate", &certificate, end - left);
        assert_eq!(told(31 * DAY), None);
        assert!(told(30 * DAY).unwrap().contains("in 30 days"));
        assert_eq!(told(8 * DAY), None);
        assert!(told(6 * DAY).unwrap().contains("in 6 days"));
        assert_eq!(told(5 * DAY), None);
        assert!(told(10).unwrap().contains("in 0 days"));
        assert!(told(-1).unwrap().contains("has expired"));
        assert_eq!(told(-10 * DAY), None);
    }

    #[test]
    fn of_days_that_were_missed_one_is_told() {
        let certificate = mint::self_signed("a").unwrap().certificate;
        let mut expiry = Expiry::default();
        assert!(expiry.warning("it", &certificate, certificate.not_after() - 10).is_some());
        assert!(expiry.warning("it", &certificate, certificate.not_after() - 5).is_none());
    }
}
