//! When an account's next invoice ends, and whether it is a partial one (contract, resources 7).
//! A period is nothing but its boundary days, local midnights on which one period ends and the next
//! begins; both directions (7.1, 7.2) are read off that one rule, so periods never overlap or leave
//! a day out, also where the wording of the two rules does (7.7). Days near jiff's limits (years
//! −9999 and 9999) saturate instead of failing.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// How often an account is invoiced (contract, resources 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvoicePeriod {
    /// Every day.
    Daily,
    /// Monday to Monday.
    Weekly,
    /// Two weeks, from the Monday of an even ISO week.
    BiWeekly,
    /// Calendar months.
    Monthly,
    /// As `BiWeekly`, cut at the first of a month.
    BiWeeklySplit,
    /// As `Weekly`, cut at the first of a month.
    WeeklySplit,
    /// From the 1st and from the 16th.
    SemiMonthly,
}

/// How an invoice came to be (contract, resources 7.4 and 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvoiceType {
    /// Made by an operator.
    Manual,
    /// Made by the job, for a whole period.
    AutoFull,
    /// Made by the job, for a period cut short by the end of a month.
    AutoPartial,
}

/// What an account waits for once it has a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextInvoice {
    /// The end of the period, not part of it.
    pub at: Timestamp,
    /// The type the invoice will have.
    pub invoice_type: InvoiceType,
}

impl InvoicePeriod {
    /// Every period, in the order of their ids.
    pub const ALL: [InvoicePeriod; 7] = [
        InvoicePeriod::Daily,
        InvoicePeriod::Weekly,
        InvoicePeriod::BiWeekly,
        InvoicePeriod::Monthly,
        InvoicePeriod::BiWeeklySplit,
        InvoicePeriod::WeeklySplit,
        InvoicePeriod::SemiMonthly,
    ];

    /// The period with this `invoice-period-id`, 1 to 7.
    #[must_use]
    pub fn from_id(id: i64) -> Option<InvoicePeriod> {
        InvoicePeriod::ALL.into_iter().find(|period| period.id() == id)
    }

    /// The `invoice-period-id`, 1 to 7.
    #[must_use]
    pub const fn id(self) -> i64 {
        match self {
            InvoicePeriod::Daily => 1,
            InvoicePeriod::Weekly => 2,
            InvoicePeriod::BiWeekly => 3,
            InvoicePeriod::Monthly => 4,
            InvoicePeriod::BiWeeklySplit => 5,
            InvoicePeriod::WeeklySplit => 6,
            InvoicePeriod::SemiMonthly => 7,
        }
    }

    /// The name operators know it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            InvoicePeriod::Daily => "Daily",
            InvoicePeriod::Weekly => "Weekly",
            InvoicePeriod::BiWeekly => "BiWeekly",
            InvoicePeriod::Monthly => "Monthly",
            InvoicePeriod::BiWeeklySplit => "BiWeekly. Split by new month",
            InvoicePeriod::WeeklySplit => "Weekly. Split by new month",
            InvoicePeriod::SemiMonthly => "SemiMonthly",
        }
    }

    /// The length of a whole period in days; a month counts 30.
    #[must_use]
    pub const fn nominal_days(self) -> i64 {
        match self {
            InvoicePeriod::Daily => 1,
            InvoicePeriod::Weekly | InvoicePeriod::WeeklySplit => 7,
            InvoicePeriod::BiWeekly | InvoicePeriod::BiWeeklySplit => 14,
            InvoicePeriod::Monthly => 30,
            InvoicePeriod::SemiMonthly => 15,
        }
    }

    /// Whether the first of a month cuts it.
    #[must_use]
    pub const fn is_split(self) -> bool {
        matches!(self, InvoicePeriod::BiWeeklySplit | InvoicePeriod::WeeklySplit)
    }

    /// The end of the period that holds `day`: the first boundary after it (7.1).
    ///
    /// Answers [`Date::MAX`] when there is no boundary left in the calendar.
    #[must_use]
    pub fn end_of_period(self, day: Date) -> Date {
        let mut end = day;
        while let Ok(tomorrow) = end.tomorrow() {
            end = tomorrow;
            if self.is_boundary(end) {
                break;
            }
        }
        end
    }

    /// The start of the period that ends on `end`: the last boundary before it (7.2).
    ///
    /// An `end` that is no boundary, as a change of zone can leave behind (7.6), counts as the
    /// boundary before it: rather a whole period too early than a day uninvoiced, since an invoice
    /// never starts before the latest one ended. Answers [`Date::MIN`] when there is no boundary
    /// left in the calendar.
    #[must_use]
    pub fn start_of_period(self, end: Date) -> Date {
        let end = if self.is_boundary(end) { end } else { self.boundary_before(end) };
        self.boundary_before(end)
    }

    /// The type of the invoice for local days from `start` to before `end` (7.4).
    #[must_use]
    pub fn invoice_type(self, start: Date, end: Date) -> InvoiceType {
        let days = start.duration_until(end).as_hours() / 24;
        if self.is_split() && days < self.nominal_days() {
            InvoiceType::AutoPartial
        } else {
            InvoiceType::AutoFull
        }
    }

    fn boundary_before(self, day: Date) -> Date {
        let mut start = day;
        while let Ok(yesterday) = start.yesterday() {
            start = yesterday;
            if self.is_boundary(start) {
                break;
            }
        }
        start
    }

    /// Whether one period ends and the next begins at the midnight before `day`.
    fn is_boundary(self, day: Date) -> bool {
        let starts_month = day.day() == 1;
        match self {
            InvoicePeriod::Daily => true,
            InvoicePeriod::Weekly => starts_week(day),
            InvoicePeriod::BiWeekly => starts_biweek(day),
            InvoicePeriod::Monthly => starts_month,
            InvoicePeriod::BiWeeklySplit => starts_month || starts_biweek(day),
            InvoicePeriod::WeeklySplit => starts_month || starts_week(day),
            InvoicePeriod::SemiMonthly => starts_month || day.day() == 16,
        }
    }
}

impl InvoiceType {
    /// Every type, in the order of their ids.
    pub const ALL: [InvoiceType; 3] =
        [InvoiceType::Manual, InvoiceType::AutoFull, InvoiceType::AutoPartial];

    /// The type stored under this id, 1 to 3.
    #[must_use]
    pub fn from_id(id: i64) -> Option<InvoiceType> {
        InvoiceType::ALL.into_iter().find(|invoice_type| invoice_type.id() == id)
    }

    /// The stored id, 1 to 3.
    #[must_use]
    pub const fn id(self) -> i64 {
        match self {
            InvoiceType::Manual => 1,
            InvoiceType::AutoFull => 2,
            InvoiceType::AutoPartial => 3,
        }
    }

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            InvoiceType::Manual => "Manual",
            InvoiceType::AutoFull => "Auto Full",
            InvoiceType::AutoPartial => "Auto Partial",
        }
    }
}

/// The invoice to wait for when an account gets `period` at the moment `now`, or changes its zone
/// (contract, resources 1.4): it ends with the period that holds today, as `zone` reads the date.
///
/// For the type, it is taken to start where the account's latest invoice ended, if there is one,
/// whether or not that lies in the same period (7.4).
#[must_use]
pub fn next_invoice(
    period: InvoicePeriod,
    zone: &TimeZone,
    now: Timestamp,
    latest_invoice_end: Option<Timestamp>,
) -> NextInvoice {
    let local_date = |instant| zone.to_datetime(instant).date();
    let end = period.end_of_period(local_date(now));
    let start = latest_invoice_end.map_or_else(|| period.start_of_period(end), local_date);
    NextInvoice { at: first_instant(end, zone), invoice_type: period.invoice_type(start, end) }
}

/// The instant at which `date` begins in `zone` (7.3): its midnight, the earlier one if there are
/// two, and the first instant after the gap if there is none.
///
/// A date whose midnight lies outside the range of [`Timestamp`] gets the nearest limit.
#[must_use]
pub fn first_instant(date: Date, zone: &TimeZone) -> Timestamp {
    let midnight = zone.to_ambiguous_timestamp(date.to_datetime(Time::midnight()));
    let skipped = matches!(midnight.offset(), AmbiguousOffset::Gap { .. });
    let Ok(instant) = midnight.compatible() else {
        return if date.year() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    };
    if !skipped {
        return instant;
    }
    // Here `instant` is midnight by the clock before the change. Where the gap began before
    // midnight (Toronto, 30 March 1919, 23:30) that is too late: the date begins with the change.
    let just_after = instant.saturating_add(SignedDuration::from_nanos(1)).unwrap_or(instant);
    zone.preceding(just_after).next().map_or(instant, |change| change.timestamp())
}

fn starts_week(day: Date) -> bool {
    day.weekday() == Weekday::Monday
}

/// Whether a period of two weeks begins: on the Monday of an even ISO week. After a week 53 both it
/// and week 1 are odd; weeks 52 and 53 are taken together (7.7), so the next begins with week 1.
fn starts_biweek(day: Date) -> bool {
    let follows_week_53 =
        || day.yesterday().is_ok_and(|sunday| sunday.iso_week_date().week() == 53);
    starts_week(day) && (day.iso_week_date().week() % 2 == 0 || follows_week_53())
}

#[cfg(test)]
mod tests {
    use super::InvoicePeriod::{
        BiWeekly, BiWeeklySplit, Daily, Monthly, SemiMonthly, Weekly, WeeklySplit,
    };
    use super::InvoiceType::{AutoFull, AutoPartial};
    use super::*;
    use crate::timezone;
    use jiff::{Span, ToSpan};
    use proptest::prelude::*;

    const ONE_NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);

    fn zone(name: &str) -> TimeZone {
        timezone::find(name).expect(name)
    }

    fn day(text: &str) -> Date {
        text.parse().expect(text)
    }

    fn instant(text: &str) -> Timestamp {
        text.parse().expect(text)
    }

    fn first(text: &str, zone_name: &str) -> String {
        first_instant(day(text), &zone(zone_name)).to_string()
    }

    /// Asserts one row of the worked examples: the instants of start and end, and the type, when
    /// the period is selected at `now` by an account without invoices.
    fn assert_row(
        zone_name: &str,
        now: &str,
        period: InvoicePeriod,
        (start, end): (&str, &str),
        invoice_type: InvoiceType,
    ) {
        let zone = zone(zone_name);
        let next = next_invoice(period, &zone, instant(now), None);
        let row = format!("{zone_name} {now} {period:?}");
        assert_eq!(next, NextInvoice { at: instant(end), invoice_type }, "{row}");
        let start_day = period.start_of_period(zone.to_datetime(next.at).date());
        assert_eq!(first_instant(start_day, &zone), instant(start), "{row}");
    }

    fn hours(start: &str, end: &str) -> i64 {
        instant(start).duration_until(instant(end)).as_hours()
    }

    #[test]
    fn the_worked_examples_in_utc() {
        let rows = [
            ("2026-01-02", Daily, ("2026-01-02", "2026-01-03"), AutoFull),
            ("2026-01-02", Weekly, ("2025-12-29", "2026-01-05"), AutoFull),
            ("2026-01-02", BiWeekly, ("2025-12-22", "2026-01-05"), AutoFull),
            ("2026-01-05", BiWeekly, ("2026-01-05", "2026-01-19"), AutoFull),
            ("2026-01-02", Monthly, ("2026-01-01", "2026-02-01"), AutoFull),
            ("2026-01-02", WeeklySplit, ("2026-01-01", "2026-01-05"), AutoPartial),
            ("2026-01-28", WeeklySplit, ("2026-01-26", "2026-02-01"), AutoPartial),
            ("2026-01-28", BiWeeklySplit, ("2026-01-19", "2026-02-01"), AutoPartial),
            ("2026-02-16", BiWeeklySplit, ("2026-02-16", "2026-03-01"), AutoPartial),
            ("2026-02-16", SemiMonthly, ("2026-02-16", "2026-03-01"), AutoFull),
        ];
        for (today, period, (start, end), invoice_type) in rows {
            let start = format!("{start}T00:00Z");
            let end = format!("{end}T00:00Z");
            for time in ["00:00:00", "12:00:00", "23:59:59.999999999"] {
                let now = format!("{today}T{time}Z");
                assert_row("UTC", &now, period, (&start, &end), invoice_type);
            }
        }
    }

    #[test]
    fn the_worked_examples_over_changes_of_the_clock() {
        let kyiv = "Europe/Kyiv";
        let before = ("2026-03-27T22:00Z", "2026-03-28T22:00Z");
        assert_row(kyiv, "2026-03-28T12:00+02", Daily, before, AutoFull);
        let spring = ("2026-03-28T22:00Z", "2026-03-29T21:00Z");
        assert_row(kyiv, "2026-03-29T12:00+03", Daily, spring, AutoFull);
        assert_eq!(hours(spring.0, spring.1), 23);
        let week = ("2026-03-22T22:00Z", "2026-03-29T21:00Z");
        assert_row(kyiv, "2026-03-25T12:00+02", Weekly, week, AutoFull);
        assert_eq!(hours(week.0, week.1), 167);
        let autumn = ("2026-10-24T21:00Z", "2026-10-25T22:00Z");
        assert_row(kyiv, "2026-10-25T12:00+02", Daily, autumn, AutoFull);
        assert_eq!(hours(autumn.0, autumn.1), 25);
        let march = ("2026-03-01T08:00Z", "2026-04-01T07:00Z");
        assert_row("America/Los_Angeles", "2026-03-15T12:00-07", Monthly, march, AutoFull);
    }

    #[test]
    fn the_local_date_decides_not_the_date_in_utc() {
        let january = ("2026-01-01T08:00Z", "2026-02-01T08:00Z");
        assert_row("America/Los_Angeles", "2026-02-01T03:00Z", Monthly, january, AutoFull);
        let february = ("2026-02-01T08:00Z", "2026-03-01T08:00Z");
        assert_row("America/Los_Angeles", "2026-02-01T08:00Z", Monthly, february, AutoFull);
    }

    #[test]
    fn the_chain_of_the_contract() {
        let chain = [
            "2025-12-22",
            "2026-01-01",
            "2026-01-05",
            "2026-01-19",
            "2026-02-01",
            "2026-02-02",
            "2026-02-16",
            "2026-03-01",
            "2026-03-02",
            "2026-03-16",
        ];
        for pair in chain.windows(2) {
            let (start, end) = (day(pair[0]), day(pair[1]));
            assert_eq!(BiWeeklySplit.end_of_period(start), end);
            assert_eq!(BiWeeklySplit.start_of_period(end), start);
        }
    }

    #[test]
    fn weeks_52_and_53_are_one_period() {
        for (week_52, week_1) in [("2026-12-21", "2027-01-04"), ("2032-12-20", "2033-01-03")] {
            let (start, end) = (day(week_52), day(week_1));
            for offset in 0..14 {
                assert_eq!(BiWeekly.end_of_period(start + offset.days()), end);
            }
            assert_eq!(BiWeekly.start_of_period(end), start);
            let week_2 = end + 7.days();
            assert_eq!(BiWeekly.end_of_period(end), week_2);
            assert_eq!(BiWeekly.start_of_period(week_2), end);
        }
        assert_eq!(BiWeeklySplit.end_of_period(day("2026-12-21")), day("2027-01-01"));
        assert_eq!(BiWeeklySplit.start_of_period(day("2027-01-01")), day("2026-12-21"));
        assert_eq!(BiWeeklySplit.end_of_period(day("2027-01-01")), day("2027-01-04"));
    }

    #[test]
    fn a_month_that_begins_on_the_monday_between_two_weeks_cuts_them() {
        for (start, end) in [
            ("2026-05-25", "2026-06-01"),
            ("2024-06-24", "2024-07-01"),
            ("2025-11-24", "2025-12-01"),
        ] {
            let (start, end) = (day(start), day(end));
            assert_eq!(BiWeeklySplit.end_of_period(start), end);
            assert_eq!(BiWeeklySplit.start_of_period(end), start);
            assert_eq!(BiWeeklySplit.invoice_type(start, end), AutoPartial);
        }
    }

    #[test]
    fn a_zone_change_leaves_no_time_uninvoiced() {
        // 7.6: the end 2026-01-12T00:00Z of a week in UTC is a Sunday in Los Angeles.
        assert_eq!(Weekly.start_of_period(day("2026-01-11")), day("2025-12-29"));
        let now = instant("2026-01-07T00:00Z");
        let next = next_invoice(Weekly, &zone("America/Los_Angeles"), now, None);
        assert_eq!(next.at, instant("2026-01-12T08:00Z"));
    }

    #[test]
    fn the_latest_invoice_decides_how_much_is_left() {
        let now = instant("2026-02-18T00:00Z");
        let selected = |period, latest_end| {
            next_invoice(period, &TimeZone::UTC, now, Some(instant(latest_end))).invoice_type
        };
        assert_eq!(selected(WeeklySplit, "2026-02-16T00:00Z"), AutoFull);
        assert_eq!(selected(WeeklySplit, "2026-02-17T00:00Z"), AutoPartial);
        assert_eq!(selected(BiWeeklySplit, "2026-02-15T00:00Z"), AutoFull);
        assert_eq!(selected(BiWeeklySplit, "2026-02-16T00:00Z"), AutoPartial);
        assert_eq!(selected(WeeklySplit, "2026-05-01T00:00Z"), AutoPartial);
        for period in [Daily, Weekly, BiWeekly, Monthly, SemiMonthly] {
            assert_eq!(selected(period, "2026-02-18T00:00Z"), AutoFull);
        }
    }

    #[test]
    fn days_left_are_counted_by_the_local_calendar() {
        // The last week of March 2026 has 167 hours in Kyiv and is a whole one all the same.
        let now = instant("2026-03-25T00:00Z");
        let latest_end = Some(instant("2026-03-22T22:00Z"));
        let next = next_invoice(WeeklySplit, &zone("Europe/Kyiv"), now, latest_end);
        assert_eq!(next, NextInvoice { at: instant("2026-03-29T21:00Z"), invoice_type: AutoFull });
    }

    #[test]
    fn a_skipped_midnight_begins_after_the_gap() {
        assert_eq!(first("2018-11-04", "America/Sao_Paulo"), "2018-11-04T03:00:00Z");
        assert_eq!(first("2024-03-31", "Asia/Beirut"), "2024-03-30T22:00:00Z");
        assert_eq!(first("2024-04-26", "Africa/Cairo"), "2024-04-25T22:00:00Z");
        // A gap of 44 minutes and 30 seconds.
        assert_eq!(first("1972-01-07", "Africa/Monrovia"), "1972-01-07T00:44:30Z");
        // 23:30 to 00:30: not the 01:00 of one hour later.
        assert_eq!(first("1919-03-31", "America/Toronto"), "1919-03-31T04:30:00Z");
        // The whole day was skipped.
        assert_eq!(first("2011-12-30", "Pacific/Apia"), "2011-12-30T10:00:00Z");
        assert_eq!(first("2011-12-31", "Pacific/Apia"), "2011-12-30T10:00:00Z");
    }

    #[test]
    fn of_two_midnights_the_earlier_counts() {
        assert_eq!(first("2025-11-02", "America/Havana"), "2025-11-02T04:00:00Z");
        // The clock went back from 00:01 to 23:01.
        assert_eq!(first("2006-10-29", "America/St_Johns"), "2006-10-29T02:30:00Z");
    }

    #[test]
    fn a_clock_set_back_at_midnight_leaves_one_midnight() {
        assert_eq!(first("2018-02-18", "America/Sao_Paulo"), "2018-02-18T03:00:00Z");
        assert_eq!(first("2024-10-27", "Asia/Beirut"), "2024-10-26T22:00:00Z");
    }

    #[test]
    fn in_every_zone_a_date_begins_at_its_first_instant() {
        for name in timezone::names() {
            let zone = zone(name);
            let changes = zone.following(instant("1850-01-01T00:00Z"));
            for change in
                changes.take_while(|change| change.timestamp() < instant("2050-01-01T00:00Z"))
            {
                let date = zone.to_datetime(change.timestamp()).date();
                for date in [date, date.tomorrow().unwrap()] {
                    let begin = first_instant(date, &zone);
                    let before = zone.to_datetime(begin - ONE_NANOSECOND).date();
                    assert!(before < date, "{name} {date} begins before {begin}");
                    assert!(
                        zone.to_datetime(begin).date() >= date,
                        "{name} {date} begins after {begin}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_ends_of_the_calendar_saturate() {
        for period in InvoicePeriod::ALL {
            assert_eq!(period.end_of_period(Date::MAX), Date::MAX);
            assert_eq!(period.start_of_period(Date::MIN), Date::MIN);
            for zone in [TimeZone::UTC, zone("Pacific/Kiritimati"), zone("Etc/GMT+12")] {
                let last = next_invoice(period, &zone, Timestamp::MAX, Some(Timestamp::MIN));
                assert!(last.at <= Timestamp::MAX);
                let first = next_invoice(period, &zone, Timestamp::MIN, Some(Timestamp::MAX));
                assert!(first.at > Timestamp::MIN);
            }
        }
        assert_eq!(first_instant(Date::MAX, &TimeZone::UTC), Timestamp::MAX);
        assert_eq!(first_instant(Date::MIN, &TimeZone::UTC), Timestamp::MIN);
    }

    #[test]
    fn ids_and_names_are_the_contracts() {
        let periods = InvoicePeriod::ALL.map(|period| (period.id(), period.nominal_days()));
        assert_eq!(periods, [(1, 1), (2, 7), (3, 14), (4, 30), (5, 14), (6, 7), (7, 15)]);
        assert_eq!(BiWeeklySplit.name(), "BiWeekly. Split by new month");
        for id in [i64::MIN, -1, 0, 8, i64::MAX] {
            assert_eq!(InvoicePeriod::from_id(id), None);
        }
        for period in InvoicePeriod::ALL {
            assert_eq!(InvoicePeriod::from_id(period.id()), Some(period));
        }
        let types = InvoiceType::ALL.map(|kind| (kind.id(), kind.name()));
        assert_eq!(types, [(1, "Manual"), (2, "Auto Full"), (3, "Auto Partial")]);
        assert_eq!(InvoiceType::from_id(3), Some(AutoPartial));
        assert_eq!(InvoiceType::from_id(4), None);
    }

    /// Rules 7.1 and 7.2 word for word, to check the boundaries against; `None` where the reference
    /// fails (7.7).
    mod word_for_word {
        use super::*;

        fn monday(day: Date) -> Date {
            day - i64::from(day.weekday().to_monday_zero_offset()).days()
        }

        fn even(candidates: [Date; 2]) -> Option<Date> {
            candidates.into_iter().find(|day| day.iso_week_date().week() % 2 == 0)
        }

        fn same_month(left: Date, right: Date) -> bool {
            left.first_of_month() == right.first_of_month()
        }

        fn next_month(day: Date) -> Date {
            day.first_of_month() + 1.month()
        }

        pub fn end(period: InvoicePeriod, day: Date) -> Option<Date> {
            let monday = monday(day);
            let sunday = monday + 6.days();
            let biweek = even([monday + 14.days(), monday + 7.days()]);
            Some(match period {
                Daily => day + 1.day(),
                Weekly => monday + 7.days(),
                BiWeekly => biweek?,
                BiWeeklySplit if same_month(biweek?, day) => biweek?,
                WeeklySplit if same_month(day, sunday) => sunday + 1.day(),
                SemiMonthly if day.day() < 16 => day.with().day(16).build().unwrap(),
                Monthly | BiWeeklySplit | WeeklySplit | SemiMonthly => next_month(day),
            })
        }

        pub fn start(period: InvoicePeriod, end: Date) -> Option<Date> {
            let is_monday = end == monday(end);
            let start = match period {
                Daily => end - 1.day(),
                Weekly => monday(end) - 7.days(),
                BiWeekly => monday(end) - 14.days(),
                Monthly => end - 1.month(),
                WeeklySplit if is_monday => within_month(end - 7.days(), 6.days()),
                WeeklySplit => monday(end),
                BiWeeklySplit if is_monday => {
                    within_month(even([end - 7.days(), end - 14.days()])?, 13.days())
                }
                BiWeeklySplit => even([monday(end), monday(end) - 7.days()])?,
                SemiMonthly if end.day() == 16 => end.first_of_month(),
                SemiMonthly => end.first_of_month() - 1.month() + 15.days(),
            };
            (start < end).then_some(start)
        }

        fn within_month(start: Date, length: Span) -> Date {
            if same_month(start, start + length) { start } else { next_month(start) }
        }
    }

    #[test]
    fn the_boundaries_are_the_rules_of_the_contract() {
        let days = day("2020-01-01").series(1.day()).take_while(|day| day.year() <= 2060);
        for day in days {
            let iso_week = day.iso_week_date();
            // The weeks that 7.7 repairs, and the first one after them.
            let repaired = iso_week.in_long_year() && iso_week.week() >= 52
                || day.saturating_sub(14.days()).iso_week_date().week() == 53
                || day.saturating_sub(7.days()).iso_week_date().week() == 53;
            for period in InvoicePeriod::ALL {
                if repaired && matches!(period, BiWeekly | BiWeeklySplit) {
                    continue;
                }
                let end = word_for_word::end(period, day);
                assert_eq!(end, Some(period.end_of_period(day)), "{period:?} {day}");
                if let Some(start) = end.and_then(|end| word_for_word::start(period, end)) {
                    assert_eq!(start, period.start_of_period(end.unwrap()), "{period:?} {day}");
                } else {
                    let month_cuts_biweek =
                        end.is_some_and(|end| end.day() == 1 && starts_week(end));
                    assert!(period == BiWeeklySplit && month_cuts_biweek, "{period:?} {day}");
                }
            }
        }
    }

    fn any_period() -> impl Strategy<Value = InvoicePeriod> {
        (1_i64..=7).prop_map(|id| InvoicePeriod::from_id(id).expect("1 to 7"))
    }

    fn any_day() -> impl Strategy<Value = Date> {
        let days = day("2020-01-01").duration_until(day("2060-12-31")).as_hours() / 24;
        (0..=days).prop_map(|offset| day("2020-01-01") + offset.days())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_day_lies_in_its_period(period in any_period(), day in any_day()) {
            let end = period.end_of_period(day);
            let start = period.start_of_period(end);
            prop_assert!(start <= day && day < end);
            prop_assert_eq!(period.end_of_period(start), end);
        }

        #[test]
        fn periods_tile_time(period in any_period(), day in any_day()) {
            let end = period.end_of_period(day);
            prop_assert_eq!(period.start_of_period(period.end_of_period(end)), end);
        }

        #[test]
        fn a_next_invoice_lies_ahead(
            period in any_period(),
            now in 0_i64..3_000_000_000,
            zone_index in 0..timezone::names().len(),
        ) {
            let now = Timestamp::from_second(now).unwrap();
            let zone = zone(&timezone::names()[zone_index]);
            let next = next_invoice(period, &zone, now, None);
            prop_assert!(now < next.at);
            prop_assert!(now.duration_until(next.at) <= SignedDuration::from_hours(24 * 32));
        }
    }
}
