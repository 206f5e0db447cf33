//! Values on which two databases might differ. Lists are one text each, split at `|`.

/// The parts of a list.
pub fn listed(list: &'static str) -> Vec<&'static str> {
    list.split('|').collect()
}

/// Texts that locales, collations and encodings are known to quarrel over.
pub const TEXTS: &str = "| |\u{a0}\u{3000}|\t\r\n|null|NULL|a\u{0}b|\u{0}|'|''|\"|\
    o'neill; DROP TABLE accounts --|%|_|100%|a_b|\\|\\%|\\_|a\\|$1|?|{\"a\":1}|{1,2}|alpha|\
    Alpha|ALPHA|álpha|a\u{301}lpha|zeta|Zeta|Straße|STRASSE|STRAẞE|straſse|ıI|İi|ΣΊΣΥΦΟΣ|\
    σίσυφος|σίσυφοσ|Ǆ ǅ ǆ|ŉ ﬁ ﬄ ΐ|ᾳ ᾼ ΑΙ|K Å Ω|ქართული ᲥᲐᲠᲗᲣᲚᲘ|Ꭰ ꭰ|Київ|КИЇВ|שלום|مرحبا|日本語|\
    한국어|ไทย|हिन्दी|😀👩‍👩‍👧🇺🇦|\u{10ffff}|\u{ffff}|\u{e000}|\u{feff}bom|\u{202e}rtl|\u{200d}|\
    \u{7f}\u{1}\u{1f}|a,b|\"a,b\"|12|1.5|true";

/// Numbers around every limit, in every spelling.
pub const NUMBERS: &str = "0|-0|0.0|-0.0|1|-1|10|9|12.5|12.50|0.000000000001|-0.000000000001|0.0000000000001|\
    -0.0000000000001|0.1234567890125|1e-12|1e-13|1E+2|1e26|-1e26|1e27|-1e27|1e400|-1e400|\
    100000000000000000000000000|99999999999999999999999999.999999999999|\
    -99999999999999999999999999.999999999999|100000000000000000000000000.000000000001|\
    9223372036854775807|-9223372036854775808|9223372036854775808|-9223372036854775809|\
    2147483647|2147483648|32767|32768|1.9|-1.9";

/// What is no number, or only nearly one.
pub const JUNK: &str = "| |abc|12abc|+5|.5|5.|010|1_000|0x10|NaN|Infinity|1,5";

/// Moments around the limits of calendars, in every spelling, and what is none.
pub const INSTANTS: &str = "2026-01-02T12:30:00Z|2026-01-02|2026-01-02 12:30|2026-03-01T00:00:00+14:00|\
    2026-01-01T00:00:00.000001Z|2026-01-01T00:00:00.0000009Z|2025-12-31T23:59:59.999999999Z|\
    1970-01-01T00:00:00Z|1969-12-31T23:59:59.9999995Z|1582-10-10|0001-01-01T00:00:00Z|\
    0000-01-01T00:00:00Z|-000001-01-01T00:00:00Z|-004712-01-01T00:00:00Z|\
    -004713-01-01T00:00:00Z|-009999-01-02T01:59:59Z|9999-12-30T22:00:00Z|9999-12-31|\
    +010000-01-01T00:00:00Z|2026-02-30|2016-12-31T23:59:60Z|infinity|now|soon";

/// Uuids around the ends of their order, in every spelling.
pub const UUIDS: &str = "00000000-0000-1000-8000-000000000001|00000000-0000-0000-0000-000000000000|\
    ffffffff-ffff-ffff-ffff-ffffffffffff|7FFFFFFF-ffff-4fff-8fff-ffffffffffff|\
    80000000-0000-4000-8000-000000000000|{00000000-0000-1000-8000-00000000abcd}|\
    0000000000001000800000000000abcd|junk|";

/// Time zones.
pub const ZONES: &str = "UTC|Europe/Kyiv|America/New_York|Pacific/Kiritimati|Asia/Kolkata";

/// Ids of nothing, and what is no id.
pub const IDS: &str = "0|-1|+1|01| 1|1.5|1abc|abc|999999|9223372036854775807|-9223372036854775808|\
    9223372036854775808|%00|1%00";

/// Letters of which other texts are made: with and without case, with two cases, combining, of other
/// planes, and those that patterns and quotes mean something by.
pub const LETTERS: &str = "aAbBiIıİkK\u{212a}sSſßẞzZäÄéÉ\u{301}\u{308}σςΣω\u{2126}жЖїЇǆǅաԱაᲐ中文אعก\u{1f600}\u{fffd}\u{ff21}\u{ff41}%_\\'\", -.09~{\u{7f}";
