//! The time zones that accounts may use and `/timezones` lists (contract, resources 18). Only the
//! IANA data bundled with the program counts, never the operating system's: two nodes must agree on
//! where an invoice period ends.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let database = TimeZoneDatabase::bundled();
    let names = database.available().map(|name| name.as_str().to_owned());
    let mut names: Vec<String> = names.filter(|name| !is_helper(name)).collect();
    names.sort_unstable();
    names
});

/// Every zone name, legacy aliases included, sorted by its bytes.
#[must_use]
pub fn names() -> &'static [String] {
    &NAMES
}

/// The zone of exactly this name, upper and lower case told apart, or `None`. Cheap: the zone's
/// data is parsed once and shared.
#[must_use]
pub fn find(name: &str) -> Option<TimeZone> {
    // The database alone would not do: it ignores case and knows helper names.
    NAMES.binary_search_by(|known| known.as_str().cmp(name)).ok()?;
    TimeZoneDatabase::bundled().get(name).ok()
}

/// A moment as people at a place read it, to the second, with the zone's abbreviation there and
/// then: `2026-07-01 14:30:00 EEST`. In UTC where there is no zone of this name.
#[must_use]
pub fn shown(moment: Timestamp, zone: &str) -> String {
    let zone = find(zone).unwrap_or(TimeZone::UTC);
    moment.to_zoned_datetime(zone).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// Whether a name stands in zone data for the sake of software, not of a place or a standard.
fn is_helper(name: &str) -> bool {
    matches!(name, "Factory" | "localtime" | "posixrules" | "Etc/Unknown")
        || name.starts_with("posix/")
        || name.starts_with("right/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_sorted_and_about_as_many_as_the_contract_says() {
        assert!(names().is_sorted());
        assert!((590..=620).contains(&names().len()), "{} names", names().len());
    }

    #[test]
    fn every_name_is_found() {
        for name in names() {
            let zone = find(name).unwrap_or_else(|| panic!("{name} has no data"));
            assert_eq!(zone.iana_name(), Some(name.as_str()));
        }
    }

    #[test]
    fn places_standards_and_aliases_are_listed() {
        for name in
            ["UTC", "Europe/Kyiv", "Europe/Kiev", "Etc/GMT+5", "EST5EDT", "US/Pacific", "GMT0"]
        {
            assert!(find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_name_is_exact() {
        for name in ["", "utc", "europe/kyiv", " UTC", "UTC ", "Europe", "Mars/Base", "+02:00"] {
            assert!(find(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn moments_are_shown_in_the_time_of_the_place_and_the_season() {
        let at = |text: &str, zone| shown(text.parse().unwrap(), zone);
        assert_eq!(at("2026-07-01T11:30:00.9Z", "Europe/Kyiv"), "2026-07-01 14:30:00 EEST");
        assert_eq!(at("2026-01-01T23:30:00Z", "Europe/Kyiv"), "2026-01-02 01:30:00 EET");
        assert_eq!(at("2026-01-01T12:00:00Z", "Etc/GMT+5"), "2026-01-01 07:00:00 -05");
        for unknown in ["UTC", "", "Mars/Base"] {
            assert_eq!(at("2026-01-01T12:00:00Z", unknown), "2026-01-01 12:00:00 UTC");
        }
    }

    #[test]
    fn helper_names_are_no_zones() {
        for name in ["Factory", "localtime", "posixrules", "Etc/Unknown", "posix/UTC", "right/UTC"]
        {
            assert!(find(name).is_none(), "{name}");
        }
    }
}
