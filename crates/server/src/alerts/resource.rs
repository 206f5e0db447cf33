//! Balance alerts on the wire.

use billing::alert::AlertKind;
use decimal::Decimal;
use jsonapi::{Resource, boolean, decimal, enumeration, id_list, integer, text, timestamp, to_one};

/// By mail and to webhooks.
pub const BOTH: &str = "both";
/// By mail alone.
pub const EMAIL: &str = "email";
/// To webhooks alone.
pub const WEBHOOK: &str = "webhook";
/// It mirrors a threshold of its account.
pub const ACCOUNT: &str = "account";
/// It stands for itself.
pub const OWN: &str = "own";

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 255;
/// Most hours that a forecast looks back or ahead: 30 days.
const HOURS_MAX: i64 = 720;

/// The alert.
pub static BALANCE_ALERTS: Resource = Resource {
    kind: "balance-alerts",
    meaning: "Raised by an account's balance beyond a threshold, or soon at the floor.",
    attributes: &[
        text("name", "What it is for.").chars_max(NAME_CHARS_MAX).unsortable(),
        enumeration(
            "kind",
            AlertKind::NAMES,
            "Raised below a threshold, above it, or when the floor will be reached soon.",
        )
        .required()
        .create_only()
        .filterable()
        .unsortable(),
        decimal("value", "The threshold of a low or high alert as a balance.").unsortable(),
        decimal(
            "percentage",
            "The threshold in percent of the credit line, 0 to 1000: 80 is where 80 % of the line \
             are used. Without a line (`min-balance` below 0) the alert is never raised.",
        )
        .unsortable(),
        decimal(
            "hysteresis",
            "How far beyond the threshold the balance must be back to clear the alert, at least 0.",
        )
        .or_decimal(Decimal::ZERO)
        .not_null()
        .unsortable(),
        integer("pace-hours", 1, HOURS_MAX, "A forecast's pace is that of so many last hours.")
            .unsortable(),
        integer(
            "within-hours",
            1,
            HOURS_MAX,
            "A forecast is raised when the floor is less than so many hours away.",
        )
        .unsortable(),
        enumeration("channels", &[BOTH, EMAIL, WEBHOOK], "How it is told.")
            .or_text(BOTH)
            .required()
            .unsortable(),
        id_list(
            "recipients",
            "Ids of the contacts who are mailed; null is those of the account's balance alerts.",
        )
        .unsortable(),
        enumeration("origin", &[ACCOUNT, OWN], "Whether it mirrors a threshold of the account.")
            .or_text(OWN)
            .read_only()
            .filterable()
            .unsortable(),
        boolean("raised", "Whether its condition holds, as far as has been told.")
            .or_bool(false)
            .read_only()
            .unaudited()
            .filterable()
            .unsortable(),
        timestamp("changed-at", "When it was last raised or cleared.")
            .read_only()
            .unaudited()
            .unsortable(),
    ],
    relationships: &[to_one("account", "accounts").required().create_only().filterable()],
    ..Resource::PLAIN
};
